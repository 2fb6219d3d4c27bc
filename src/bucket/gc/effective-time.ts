/**
 * When a commit counts as made. A clock may be years slow, but a commit is never older than those that it follows: its
 * effective time is the latest of its own time and the times of the retained commits before it.
 *
 * A clock may also be years fast. A commit dated over a day after the time of counting vouches for no other: else all
 * commits after it would be new until that date. After that date, they live longer by at most 90 days.
 */
import type { Lamport } from "../../base/ids.ts";

/** A retained commit: its position in history, and its own time in nanoseconds since 1970. */
export interface TimedCommit {
  readonly seq: Lamport;
  readonly timeNs: bigint;
}

export interface EffectiveCommit extends TimedCommit {
  readonly effectiveNs: bigint;
  /** The commit whose time counts: this one, or one before it. */
  readonly voucher: Lamport;
}

/** The commits in the order of history, with their effective times as of `nowNs`. */
export function effectiveTimes(commits: readonly TimedCommit[], nowNs: bigint): EffectiveCommit[] {
  let latest: TimedCommit | undefined;
  return commits
    .toSorted((a, b) => a.seq - b.seq)
    .map((commit) => {
      if (commit.timeNs <= nowNs + CLOCKS_DIFFER_NS && (latest === undefined || commit.timeNs >= latest.timeNs))
        latest = commit;
      const counted = latest === undefined || commit.timeNs > latest.timeNs ? commit : latest;
      const { seq, timeNs } = commit;
      return { seq, timeNs, effectiveNs: counted.timeNs, voucher: counted.seq };
    });
}

/** A commit's time may be this far ahead of the counting machine's clock and is still believed. */
const CLOCKS_DIFFER_NS = 24n * 3_600_000_000_000n;
