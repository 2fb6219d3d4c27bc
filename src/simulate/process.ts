/** A simulated process. Once it is dead, its timers no longer fire, and nothing that it awaits resolves. */
import type { Clock } from "../base/clock.ts";

export class SimulatedProcess {
  readonly clock: Clock;
  /** Resolves when the process dies. */
  readonly death: Promise<void>;
  #isDead = false;
  #die: () => void = () => {};

  /** `skewMs`: how far the machine's clock is ahead. */
  constructor(world: Clock, skewMs: number) {
    this.death = new Promise((resolve) => (this.#die = resolve));
    this.clock = {
      nowNs: () => world.nowNs() + BigInt(Math.round(skewMs * 1e6)),
      monotonicMs: () => world.monotonicMs(),
      sleep: async (ms, signal) => {
        await world.sleep(ms, signal);
        await this.alive();
      },
      after: (ms, action) => world.after(ms, () => this.#isDead || action()),
    };
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  kill(): void {
    this.#isDead = true;
    this.#die();
  }

  /** Never resolves in a dead process. */
  alive(): Promise<void> {
    return this.#isDead ? new Promise(() => {}) : Promise.resolve();
  }
}
