/**
 * When V8 makes optimised code of what an agent runs. That costs 5 to 50 ms of a function, beside whatever else the machine does, and many
 * agents of one machine each pay it for themselves: worth it where programs wait for the mount, not where a flush comes now and then.
 */
import { setFlagsFromString } from "node:v8";
import type { Clock } from "../base/clock.ts";

/** Bytes of bytecode that a function runs, a few times over, before V8 optimises it: what V8 takes by itself, and what a mount at rest does. */
export const SOON = 67_584;
export const LATE = 600_000;
/** What programs ask of a mount at rest within the time below: a few files written, a folder listed. */
const FEW_REQUESTS = 256;
const BUSY_MS = 2_000;

/** Has V8 optimise what ran for as long as optimising it takes, all threads of this process: nobody waits for what they do. */
export function compileLate(): void {
  setBudget(LATE);
}

/** Has V8 optimise soon while programs ask for much, of the thread that serves them, and late again some time after. */
export class CompilePace implements Disposable {
  readonly #clock: Clock;
  readonly #setBudget: (bytes: number) => void;
  #requests = 0;
  #atRest: Disposable | undefined;

  /** `set` is for tests. */
  constructor(clock: Clock, set = setBudget) {
    this.#clock = clock;
    this.#setBudget = set;
  }

  /** That many requests came. */
  served(requests: number): void {
    this.#requests += requests;
    if (this.#requests < FEW_REQUESTS) return;
    this.#requests = 0;
    if (this.#atRest === undefined) this.#setBudget(SOON);
    this.#atRest?.[Symbol.dispose]();
    this.#atRest = this.#clock.after(BUSY_MS, () => {
      this.#atRest = undefined;
      this.#setBudget(LATE);
    });
  }

  [Symbol.dispose](): void {
    this.#atRest?.[Symbol.dispose]();
  }
}

/** The setting is the process's, not a thread's. */
function setBudget(bytes: number): void {
  setFlagsFromString(`--interrupt-budget=${bytes}`);
}
