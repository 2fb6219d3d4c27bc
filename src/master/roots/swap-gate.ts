/**
 * Lets a collection run between swaps: the gate closes when no swap of an owner is being checked or carried out, and new
 * swaps wait. At that moment everything found complete is below a root, or unused.
 *
 * The collection first waits for a gap; then swaps wait, and after a while the gate reopens by itself.
 */
import type { Clock } from "../../base/clock.ts";

export interface GateTimeouts {
  /** How long to wait for a gap between swaps. */
  readonly patienceMs: number;
  /** The longest time that swaps are then blocked. */
  readonly heldMs: number;
}

export interface ClosedGate extends Disposable {
  /** False once it was closed too long: swaps may be running again. */
  readonly isClosed: boolean;
}

interface Owner {
  inside: number;
  /** Resolves when waiting swaps may enter. */
  opened: PromiseWithResolvers<void> | undefined;
  /** Called at the very moment when the last swap leaves. */
  onEmpty: () => void;
}

export class SwapGate {
  readonly #owners = new Map<string, Owner>();

  /** Held for a swap until disposed. Rejects with the signal's reason. */
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

  /** Closes the gate while no swap is running, until disposed or it reopens by itself. Undefined: no such moment came. */
  async close(owner: string, { patienceMs, heldMs }: GateTimeouts, clock: Clock): Promise<ClosedGate | undefined> {
    const gate = this.#gateOf(owner);
    // Synchronously within `onEmpty`: a moment later the next swap may be inside.
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
    // The gate may have been replaced by another one, which swaps may be inside.
    if (gate.inside === 0 && gate.opened === undefined && this.#owners.get(owner) === gate) this.#owners.delete(owner);
  }
}

/** Returns what `act` answers, called once: when no swap is inside, or after `ms`. */
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
