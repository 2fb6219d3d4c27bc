/**
 * Which past commits a bucket retains (docs/design/retention.md): all of the youngest, then the last one of each minute,
 * hour and day, each up to an age that the bucket's setting gives. A pure rule over the commits' times.
 *
 * A commit also stays as long as the youngest from when it was replaced: others may stand on it (effective-time.ts). If its
 * replacement was thinned, that was longer ago.
 *
 * Ages count from effective times. Minutes, hours and days are those of the commits' own times, so that commits that take
 * their time from one ancestor do not all fall into one minute.
 *
 * Thinning twice gives the same as thinning at the later time only: the last commit of a minute outlives the others of the
 * minute, the last of an hour is the last of its minute, and the last of a day is the last of its hour. This holds
 * whichever rule ends first.
 */
import type { Lamport } from "../../base/ids.ts";
import { DEFAULT_RETENTION, type Retention } from "../../format/commits/retention.ts";
import { type EffectiveCommit, effectiveTimes, type TimedCommit } from "./effective-time.ts";

/** As `retained`. */
export type RetentionRule = (commits: readonly TimedCommit[], nowNs: bigint, retention?: Retention) => Set<Lamport>;

/**
 * The seqs of the commits that stay. The newest always stays. So does a commit dated after `nowNs`: its clock was wrong,
 * and nothing is removed by guessing. A commit that vouches for the time of one that stays, stays too.
 */
export function retained(
  commits: readonly TimedCommit[],
  nowNs: bigint,
  retention: Retention = DEFAULT_RETENTION,
): Set<Lamport> {
  const rules = rulesOf(retention);
  const everythingNs = BigInt(retention.all) * SECOND_NS;
  const effective = effectiveTimes(commits, nowNs);
  const lastOf = new Map<string, EffectiveCommit>();
  for (const commit of effective) {
    for (const { length } of rules) {
      const last = lastOf.get(periodOf(commit, length));
      if (last === undefined || commit.effectiveNs >= last.effectiveNs) lastOf.set(periodOf(commit, length), commit);
    }
  }
  const newest = effective.at(-1);
  const stays = (commit: EffectiveCommit) => {
    const { effectiveNs, replacedNs = effectiveNs } = commit;
    const ageNs = nowNs - effectiveNs;
    if (commit === newest || ageNs <= everythingNs || nowNs - replacedNs <= everythingNs) return true;
    return rules.some(({ length, untilNs }) => ageNs <= untilNs && lastOf.get(periodOf(commit, length)) === commit);
  };
  return new Set(effective.filter(stays).flatMap(({ seq, voucher }) => [seq, voucher]));
}

/**
 * The time that these commits, in the order of history, agree on: the latest, without unconfirmed leaps. A commit dated
 * more than a day after all before it is a claim. It is believed once further commits claim so over a day, or one is dated
 * yet another day later. A commit dated before the leap, from any machine, ends the claim. One far behind counts for
 * nothing.
 *
 * So a machine whose clock is far ahead, even if it hosts the bucket, makes nothing old while it is alone. A bucket unused
 * for a year is thinned again a day after its next use.
 */
export function agreedTime(commits: readonly TimedCommit[]): bigint {
  const [first, ...others] = commits;
  let agreed = first?.timeNs ?? 0n;
  let claim: { readonly from: bigint; readonly to: bigint } | undefined;
  for (const { timeNs } of others) {
    if (timeNs < agreed - DAY_NS) continue;
    if (timeNs <= agreed + DAY_NS) {
      if (timeNs > agreed) agreed = timeNs;
      claim = undefined;
    } else if (claim === undefined || timeNs < claim.from - DAY_NS) {
      claim = { from: timeNs, to: timeNs };
    } else if (timeNs > claim.to + DAY_NS) {
      agreed = claim.to;
      claim = { from: timeNs, to: timeNs };
    } else {
      claim = { from: claim.from, to: timeNs > claim.to ? timeNs : claim.to };
    }
    if (claim !== undefined && claim.to - claim.from >= DAY_NS) {
      agreed = claim.to;
      claim = undefined;
    }
  }
  return agreed;
}

const SECOND_NS = 1_000_000_000n;
const MINUTE_NS = 60n * SECOND_NS;
const HOUR_NS = 60n * MINUTE_NS;
const DAY_NS = 24n * HOUR_NS;

/** Up to which age the last commit of each period of a given length stays. */
function rulesOf({ minutes, hours, days }: Retention) {
  return [
    { length: MINUTE_NS, untilNs: BigInt(minutes) * SECOND_NS },
    { length: HOUR_NS, untilNs: BigInt(hours) * SECOND_NS },
    { length: DAY_NS, untilNs: BigInt(days) * SECOND_NS },
  ].filter(({ untilNs }) => untilNs > 0n);
}

/** The age limit of the shortest rule that still covers a commit. Undefined: older than any rule retains. */
export function ageLimitNs({ all, minutes, hours, days }: Retention, ageNs: bigint): bigint | undefined {
  const limits = [all, minutes, hours, days].sort((a, b) => a - b).map((seconds) => BigInt(seconds) * SECOND_NS);
  return limits.find((limitNs) => limitNs > 0n && ageNs <= limitNs);
}

/** The minute, hour or day (UTC) that a commit belongs to. */
function periodOf({ timeNs }: TimedCommit, length: bigint): string {
  return `${length} ${floorDiv(timeNs, length)}`;
}

/** Correct before 1970, too. */
function floorDiv(value: bigint, by: bigint): bigint {
  return (value - (((value % by) + by) % by)) / by;
}
