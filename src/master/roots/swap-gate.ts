/**
 * Lets a collection come between swaps: it waits for those of an owner that are being checked and carried out, and the next ones wait for
 * it. So there is a moment at which everything that was found complete is below a root, or is not used.
 */
import type { Clock } from "../../base/clock.ts";
import { type Deferred, deferred } from "../../base/deferred.ts";

interface Owner {
  inside: number;
  /** Those who wait to come in. */
  opened: Deferred<void> | undefined;
  /** Resolves when nobody is inside. */
  empty: Deferred<void> | undefined;
}

export class SwapGate {
  readonly #owners = new Map<string, Owner>();

  /** For the time of a swap, until it is disposed. Rejects with the signal's reason. */
  async pass(owner: string, signal: AbortSignal): Promise<Disposable> {
    for (;;) {
      signal.throwIfAborted();
      const gate = this.#owners.get(owner);
      if (gate?.opened === undefined) break;
      await gate.opened.promise;
    }
    const gate = this.#gateOf(owner);
    gate.inside++;
    return {
      [Symbol.dispose]: () => {
        gate.inside--;
        if (gate.inside === 0) gate.empty?.resolve();
        this.#forget(owner, gate);
      },
    };
  }

  /** Closes it while no swap is under way, until it is disposed. Undefined: after so long there still was one. */
  async close(owner: string, patienceMs: number, clock: Clock): Promise<Disposable | undefined> {
    const gate = this.#gateOf(owner);
    gate.opened = deferred();
    const open = () => {
      gate.opened?.resolve();
      gate.opened = undefined;
      this.#forget(owner, gate);
    };
    if (gate.inside > 0) {
      const empty = deferred<void>();
      gate.empty = empty;
      using _timer = clock.after(patienceMs, () => empty.resolve());
      await empty.promise;
      gate.empty = undefined;
    }
    if (gate.inside === 0) return { [Symbol.dispose]: open };
    open();
    return undefined;
  }

  #gateOf(owner: string): Owner {
    const gate = this.#owners.get(owner) ?? { inside: 0, opened: undefined, empty: undefined };
    this.#owners.set(owner, gate);
    return gate;
  }

  #forget(owner: string, gate: Owner): void {
    if (gate.inside === 0 && gate.opened === undefined) this.#owners.delete(owner);
  }
}
