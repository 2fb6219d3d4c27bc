/**
 * When a commit counts as made. A clock may be years slow, but a commit is never older than those that it follows: its
 * effective time is the latest of its own time and the times of the retained commits before it.
 *
 * A clock may also be years fast. A commit dated over a day after the time of counting vouches for no other: else all
 * commits after it would be new until that date. After that date, they live longer by at most 90 days.
 *
 * A commit was the newest until the time of the next one whose clock was neither slow nor far too fast.
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
  /** When it stopped being the newest. Undefined: it is the newest, or a commit up to the one that replaced it is gone. */
  readonly replacedNs: bigint | undefined;
}

/** The commits in the order of history, with their effective times as of `nowNs`. */
export function effectiveTimes(commits: readonly TimedCommit[], nowNs: bigint): EffectiveCommit[] {
  const isBelieved = ({ timeNs }: TimedCommit) => timeNs <= nowNs + CLOCKS_DIFFER_NS;
  let latest: TimedCommit | undefined;
  const effective = commits
    .toSorted((a, b) => a.seq - b.seq)
    .map((commit) => {
      if (isBelieved(commit) && (latest === undefined || commit.timeNs >= latest.timeNs)) latest = commit;
      const counted = latest === undefined || commit.timeNs > latest.timeNs ? commit : latest;
      const { seq, timeNs } = commit;
      return { seq, timeNs, effectiveNs: counted.timeNs, voucher: counted.seq, replacedNs: undefined };
    });
  return withReplacements(effective, isBelieved);
}

function withReplacements(
  commits: readonly EffectiveCommit[],
  isBelieved: (commit: TimedCommit) => boolean,
): EffectiveCommit[] {
  let nextSeq: number | undefined;
  let later: EffectiveCommit | undefined;
  const newestFirst = commits.toReversed().map(({ seq, timeNs, effectiveNs, voucher }) => {
    if (nextSeq !== seq + 1) later = undefined;
    nextSeq = seq;
    const isSlow = later !== undefined && later.timeNs < effectiveNs;
    const replacedNs = isSlow ? later?.replacedNs : later?.timeNs;
    const commit = { seq, timeNs, effectiveNs, voucher, replacedNs };
    if (isBelieved(commit)) later = commit;
    return commit;
  });
  return newestFirst.reverse();
}

/** A commit's time may be this far ahead of the counting machine's clock and is still believed. */
const CLOCKS_DIFFER_NS = 24n * 3_600_000_000_000n;
