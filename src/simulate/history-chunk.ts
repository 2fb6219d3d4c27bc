/** Plays a few consecutive histories, and reports the results: small enough to pass between threads. */
import { blake3 } from "../crypto/hash.ts";
import type { Beginning } from "./beginning.ts";
import { type Fault, FaultCounts } from "./fault-counts.ts";
import { planOf } from "./plan.ts";
import type { Sabotage } from "./sabotage.ts";
import { play } from "./world.ts";

export interface HistoryChunk {
  /** Digests of the traces of the histories played, in hex. */
  readonly digests: readonly string[];
  readonly counts: readonly (readonly [Fault, number])[];
  /** The last history played, if it failed: later ones are not played then. */
  readonly wrong: WrongHistory | undefined;
}

export interface WrongHistory {
  readonly seed: number;
  readonly violations: readonly string[];
}

export async function playChunk(
  beginning: Beginning,
  first: number,
  many: number,
  sabotage?: Sabotage,
): Promise<HistoryChunk> {
  const digests: string[] = [];
  const counts = new FaultCounts();
  for (let seed = first; seed < first + many; seed++) {
    const { trace, violations, counts: fired } = await play(planOf(seed), beginning, sabotage);
    digests.push(trace.digest);
    counts.add(fired);
    if (violations.length > 0) return { digests, counts: counts.entries(), wrong: { seed, violations } };
  }
  return { digests, counts: counts.entries(), wrong: undefined };
}

/** One digest over many, in order. */
export class RunDigest {
  #state = Buffer.alloc(0);

  get hex(): string {
    return this.#state.toString("hex");
  }

  add(digest: string): void {
    this.#state = Buffer.from(blake3(Buffer.concat([this.#state, Buffer.from(digest, "hex")])));
  }
}
