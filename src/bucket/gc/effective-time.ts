/**
 * When a commit counts as made. A clock may be years slow, so a commit is no older than any commit that it follows: its effective time is the
 * later of its own time and the times of the retained commits before it.
 *
 * A clock may be years fast, too. A commit that claims to come more than a day after the time of counting vouches for nobody: else all that
 * follows it would be new until that time comes. Once it has come, what follows the commit lives longer by 90 days at most.
 */
import type { Lamport } from "../../base/ids.ts";

/** A retained commit: where it stands in history, and its own time in nanoseconds since 1970. */
export interface TimedCommit {
  readonly seq: Lamport;
  readonly timeNs: bigint;
}

export interface EffectiveCommit extends TimedCommit {
  readonly effectiveNs: bigint;
  /** The commit whose time counts: this one, or one before it. */
  readonly voucher: Lamport;
}

/** The commits in the order of history, with their effective times as they count at `nowNs`. */
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

/** So far ahead may be who made a commit of one who counts, and is believed all the same. */
const CLOCKS_DIFFER_NS = 24n * 3_600_000_000_000n;
