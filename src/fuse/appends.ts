/**
 * Appends of one inode run in the order in which they came, even if one of them waits. The kernel sends several at once,
 * as pieces of one write(2), only on connections whose first agent agreed to ASYNC_DIO (older versions).
 */
import type { Ino } from "../base/ids.ts";
import type { Exchange } from "./exchange.ts";
import { isAppend } from "./writes.ts";

export class Appends {
  /** Of inodes with waiting appends: resolves when all of these have ended. */
  readonly #waiting = new Map<Ino, Promise<unknown>>();

  /** What this request must wait for; undefined, as nearly always: nothing. */
  before(exchange: Exchange): Promise<unknown> | undefined {
    return isAppend(exchange) ? this.#waiting.get(exchange.node) : undefined;
  }

  /** This request starts to wait, until the result is called. */
  wait(exchange: Exchange): () => void {
    if (!isAppend(exchange)) return () => {};
    const { promise, resolve } = Promise.withResolvers<void>();
    void this.#wait(exchange.node, promise);
    return resolve;
  }

  async #wait(node: Ino, end: Promise<void>): Promise<void> {
    const ends = Promise.all([this.#waiting.get(node), end]);
    this.#waiting.set(node, ends);
    await ends;
    if (this.#waiting.get(node) === ends) this.#waiting.delete(node);
  }
}
