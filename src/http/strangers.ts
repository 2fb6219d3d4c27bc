/**
 * Connections that have not shown a valid bearer yet. Anyone can open thousands, so their number is bounded: beyond, the
 * network with the most of them loses its oldest one. A caller from another network always finds room.
 */
import type { Socket } from "node:net";
import { FairBudget } from "./fair-budget.ts";
import { NETWORK_WAITING_CALLS, STRANGER_WAITING_CALLS } from "./limits.ts";
import { networkOf } from "./peer-network.ts";

export class Strangers {
  /** Requests that they sent ahead of earlier answers, by network. */
  readonly #ahead = new FairBudget(STRANGER_WAITING_CALLS, NETWORK_WAITING_CALLS);
  readonly #most: number;
  readonly #networks = new Map<Socket, string>();
  /** Each network's connections, oldest first; networks without any are not in it. */
  readonly #byNetwork = new Map<string, Set<Socket>>();

  constructor(most: number) {
    this.#most = most;
  }

  add(socket: Socket): void {
    if (this.#networks.size >= this.#most) this.cutOne();
    const network = networkOf(socket.remoteAddress);
    const own = this.#byNetwork.get(network) ?? new Set();
    this.#networks.set(socket, network);
    this.#byNetwork.set(network, own.add(socket));
  }

  /** It showed a valid bearer, or closed. */
  delete(socket: Socket): void {
    const network = this.#networks.get(socket);
    if (network === undefined) return;
    this.#networks.delete(socket);
    const own = this.#byNetwork.get(network);
    own?.delete(socket);
    if (own?.size === 0) this.#byNetwork.delete(network);
  }

  /** False: there is none. */
  cutOne(): boolean {
    let largest: ReadonlySet<Socket> = new Set();
    for (const own of this.#byNetwork.values()) if (own.size > largest.size) largest = own;
    const [oldest] = largest;
    if (oldest === undefined) return false;
    this.delete(oldest);
    oldest.destroy();
    return true;
  }

  /** Room for one more request that waits for earlier ones of its connection, until it is disposed. Undefined: there is none. */
  tryWait(socket: Socket): Disposable | undefined {
    const network = networkOf(socket.remoteAddress);
    if (!this.#ahead.tryTake(network, 1)) return undefined;
    return { [Symbol.dispose]: () => this.#ahead.give(network, 1) };
  }
}
