/**
 * Plays histories by ascending number until enough are played, time is up or one fails; on several threads if asked.
 * Results are taken in the order of the numbers, so they do not depend on the number of threads.
 */
import { availableParallelism } from "node:os";
import type { Clock } from "../base/clock.ts";
import { Beginning } from "./beginning.ts";
import { FaultCounts } from "./fault-counts.ts";
import { type HistoryChunk, RunDigest, type WrongHistory } from "./history-chunk.ts";
import { type HistoryPlayer, localPlayer, threadPlayer } from "./history-player.ts";
import { type Plan, planOf } from "./plan.ts";
import type { Sabotage } from "./sabotage.ts";
import { shrink } from "./shrink.ts";
import { type Outcome, play } from "./world.ts";

/** At least one history, from number `seed` on: `histories` of them, or as many as begin within `seconds`. */
export interface RunOptions {
  readonly clock: Clock;
  readonly seed: number;
  readonly histories?: number | undefined;
  readonly seconds: number;
  /** How many histories play at once. */
  readonly jobs?: number | undefined;
  /** A known fault to build in. */
  readonly sabotage?: Sabotage | undefined;
  /** Called after every few histories. */
  readonly played?: (played: Played) => void;
}

/** All histories from the first one on, without a gap. */
export interface Played {
  /** How many histories succeeded. */
  readonly histories: number;
  readonly counts: FaultCounts;
  /** A digest of all their traces, in hex: equal for equal traces. */
  readonly digest: string;
}

export interface Run extends Played {
  readonly failure: Failure | undefined;
}

export interface Failure {
  readonly seed: number;
  /** The violations of the whole history. */
  readonly violations: readonly string[];
  /** The shortest plan that still fails. */
  readonly shrunk: { readonly plan: Plan; readonly outcome: Outcome };
}

export async function runHistories(options: RunOptions): Promise<Run> {
  const beginning = await Beginning.make();
  const { sabotage } = options;
  const jobs = options.jobs ?? (options.histories === undefined ? 1 : availableParallelism());
  const players = Array.from({ length: jobs }, () =>
    jobs === 1 ? localPlayer(beginning, sabotage) : threadPlayer(sabotage),
  );
  const course = new Course(options);
  try {
    await Promise.all(players.map((player) => keepPlaying(course, player)));
  } finally {
    await Promise.all(players.map((player) => player.end()));
  }
  const { wrong } = course;
  return { ...course.played(), failure: wrong && (await shrunk(wrong, beginning, sabotage)) };
}

async function keepPlaying(course: Course, player: HistoryPlayer): Promise<void> {
  for (let next = course.next(); next !== undefined; next = course.next())
    course.take(next.index, await player.play(next.seed, next.many));
}

/** Hands out chunks of numbers, and takes their results in order. */
class Course {
  /** The first history that failed. */
  wrong: WrongHistory | undefined;
  readonly #options: RunOptions;
  readonly #counts = new FaultCounts();
  readonly #digest = new RunDigest();
  readonly #waiting = new Map<number, HistoryChunk>();
  readonly #endMs: number;
  #asked = 0;
  #taken = 0;
  #histories = 0;
  /** The first chunk with a failure: later chunks do not matter. */
  #lastIndex = Infinity;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#endMs = options.clock.monotonicMs() + options.seconds * 1000;
  }

  next(): { readonly index: number; readonly seed: number; readonly many: number } | undefined {
    const { clock, seed, histories } = this.#options;
    const index = this.#asked;
    const size = histories === undefined ? 1 : CHUNK;
    const many = Math.min(size, (histories ?? Infinity) - index * size);
    const isLate = histories === undefined && index > 0 && clock.monotonicMs() >= this.#endMs;
    if (many <= 0 || isLate || index > this.#lastIndex) return undefined;
    this.#asked++;
    return { index, seed: seed + index * size, many };
  }

  take(index: number, chunk: HistoryChunk): void {
    this.#waiting.set(index, chunk);
    if (chunk.wrong !== undefined) this.#lastIndex = Math.min(this.#lastIndex, index);
    for (let next = this.#waiting.get(this.#taken); next !== undefined; next = this.#waiting.get(this.#taken)) {
      this.#waiting.delete(this.#taken++);
      if (this.wrong === undefined) this.#add(next);
    }
    this.#options.played?.(this.played());
  }

  played(): Played {
    return { histories: this.#histories, counts: this.#counts, digest: this.#digest.hex };
  }

  #add({ digests, counts, wrong }: HistoryChunk): void {
    for (const digest of digests) this.#digest.add(digest);
    this.#counts.add(FaultCounts.of(counts));
    this.#histories += digests.length - (wrong === undefined ? 0 : 1);
    this.wrong = wrong;
  }
}

async function shrunk({ seed, violations }: WrongHistory, beginning: Beginning, sabotage?: Sabotage): Promise<Failure> {
  const isWrong = async (plan: Plan) => (await play(plan, beginning, sabotage)).violations.length > 0;
  const plan = await shrink(planOf(seed), isWrong);
  return { seed, violations, shrunk: { plan, outcome: await play(plan, beginning, sabotage) } };
}

/** How many histories are handed out at once. */
const CHUNK = 8;
