/**
 * Lets a collection come between swaps: at a moment when no swap of an owner is being checked or carried out it closes, and the next ones
 * wait. So there is a moment at which everything that was found complete is below a root, or is not used.
 *
 * It is the collection that gives way: at first it waits while swaps go on; then others wait, and after a while the gate opens by itself.
 */
import type { Clock } from "../../base/clock.ts";

export interface GatePatience {
  /** How long a moment without swaps is waited for while they come and go. */
  readonly patienceMs: number;
  /** How long swaps are kept waiting then, at most. */
  readonly heldMs: number;
}

export interface ClosedGate extends Disposable {
  /** False once it was closed for too long: swaps may be under way again. */
  readonly isClosed: boolean;
}

interface Owner {
  inside: number;
  /** Those who wait to come in. */
  opened: PromiseWithResolvers<void> | undefined;
  /** Told, at that very moment, that nobody is inside any more. */
  onEmpty: () => void;
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
        if (gate.inside === 0) gate.onEmpty();
        this.#forget(owner, gate);
      },
    };
  }

  /** Closes it while no swap is under way, until it is disposed or opens by itself. Undefined: there was no such moment. */
  async close(owner: string, { patienceMs, heldMs }: GatePatience, clock: Clock): Promise<ClosedGate | undefined> {
    const gate = this.#gateOf(owner);
    // Within the call that tells of it: a moment later the next swap may be inside.
    const shut = () => this.#shut(owner, gate, heldMs, clock);
    const closed = gate.inside === 0 ? shut() : await firstOf(gate, patienceMs, clock, shut);
    if (gate.inside > 0) {
      const settled = Promise.withResolvers<void>();
      gate.onEmpty = settled.resolve;
      await Promise.race([settled.promise, gate.opened?.promise]);
      gate.onEmpty = () => {};
    }
    if (gate.inside === 0 && closed.isClosed) return closed;
    closed[Symbol.dispose]();
    return undefined;
  }

  #shut(owner: string, gate: Owner, heldMs: number, clock: Clock): ClosedGate {
    const opened = Promise.withResolvers<void>();
    gate.opened = opened;
    const open = () => {
      timer[Symbol.dispose]();
      if (gate.opened === opened) gate.opened = undefined;
      opened.resolve();
      this.#forget(owner, gate);
    };
    const timer = clock.after(heldMs, open);
    return {
      get isClosed() {
        return gate.opened === opened;
      },
      [Symbol.dispose]: open,
    };
  }

  #gateOf(owner: string): Owner {
    const gate = this.#owners.get(owner) ?? { inside: 0, opened: undefined, onEmpty: () => {} };
    this.#owners.set(owner, gate);
    return gate;
  }

  #forget(owner: string, gate: Owner): void {
    // It may be forgotten already: then another one has taken its place, which swaps may be inside of.
    if (gate.inside === 0 && gate.opened === undefined && this.#owners.get(owner) === gate) this.#owners.delete(owner);
  }
}

/** What `act` answers, called once: when nobody is inside, or after so long. */
async function firstOf<Result>(gate: Owner, ms: number, clock: Clock, act: () => Result): Promise<Result> {
  const settled = Promise.withResolvers<Result>();
  const once = () => {
    gate.onEmpty = () => {};
    timer[Symbol.dispose]();
    settled.resolve(act());
  };
  const timer = clock.after(ms, once);
  gate.onEmpty = once;
  return settled.promise;
}
