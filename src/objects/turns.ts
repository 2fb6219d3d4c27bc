/**
 * A line in which the writers of a folder may wait for one another: the `turn` lock beside the objects. Advisory: nothing that is
 * stored depends on it, and whoever waited long, or cannot wait here, goes on without a turn.
 */
import { deferred } from "../base/deferred.ts";
import { FileLock } from "./file-lock.ts";
import type { FileLockOptions } from "./file-lock.ts";

/** Whoever waited so long goes on without a turn. */
const TURN_WAIT_MS = 15_000;
/** Who waits longer looks more often, so that nobody is passed by for long. */
const pauseMs = (tries: number) => Math.max(25, 100 * 0.9 ** tries);

export class Turns {
  readonly #options: FileLockOptions;

  constructor(options: FileLockOptions) {
    this.#options = { ...options, pauseMs };
  }

  /** Resolves when it is our turn, which ends when the answer is disposed, or without one. Never rejects. */
  async take(): Promise<Disposable> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + TURN_WAIT_MS;
    const [begun, over] = [deferred<void>(), deferred<void>()];
    const lock = new FileLock(this.#options);
    void lock
      .run(
        () => {
          begun.resolve();
          return over.promise;
        },
        async () => clock.monotonicMs() < endMs,
      )
      .catch(() => {})
      .then(() => begun.resolve());
    await begun.promise;
    return { [Symbol.dispose]: () => over.resolve() };
  }
}
