/**
 * Which commits of the past a bucket goes on retaining (format.md, Commit): everything of the last day, the last one of each
 * hour for a week, the last one of each day for 90 days. A pure rule over the commits' own times.
 *
 * Thinning at two times in a row comes to the same as thinning at the later one: an hour's last commit outlives the others of the
 * hour, and a day's last one is the last of its hour.
 */
import type { Lamport } from "../../base/ids.ts";

/** A retained commit: where it stands in history, and its own time in nanoseconds since 1970. */
export interface TimedCommit {
  readonly seq: Lamport;
  readonly timeNs: bigint;
}

/**
 * The seqs of the commits that stay. The newest always does, and so does what claims to come from after `nowNs`: its clock was
 * wrong, and nothing is taken away by guessing.
 */
export function retained(commits: readonly TimedCommit[], nowNs: bigint): Set<Lamport> {
  const lastOf = new Map<string, TimedCommit>();
  for (const commit of commits) {
    for (const period of periodsOf(commit)) {
      const last = lastOf.get(period);
      if (last === undefined || isLater(commit, last)) lastOf.set(period, commit);
    }
  }
  const newest = commits.reduce((most, { seq }) => Math.max(most, seq), 0);
  const stays = (commit: TimedCommit) => {
    const ageNs = nowNs - commit.timeNs;
    if (commit.seq === newest || ageNs <= EVERYTHING_NS) return true;
    const [hour, day] = periodsOf(commit);
    return (ageNs <= HOURLY_NS && lastOf.get(hour) === commit) || (ageNs <= DAILY_NS && lastOf.get(day) === commit);
  };
  return new Set(commits.filter(stays).map(({ seq }) => seq));
}

/**
 * The time that these commits, in the order of history, agree on: the latest, without leaps that nobody vouches for. A commit that claims
 * to come more than a day after all before it is a claim. It is believed once others come that claim so for a day on end, or one that claims to
 * be another day later; a commit of the time before the leap, whoever made it, ends the claim. One that is far behind says nothing.
 *
 * So a machine whose clock is far ahead, and on whose disk the bucket may be, makes nothing old as long as it is not alone; and a bucket
 * that was left alone for a year goes on being thinned a day after it is used again.
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

const HOUR_NS = 3_600_000_000_000n;
const DAY_NS = 24n * HOUR_NS;
const EVERYTHING_NS = DAY_NS;
const HOURLY_NS = 7n * DAY_NS;
const DAILY_NS = 90n * DAY_NS;

/** The hour and the day (UTC) that a commit belongs to. */
function periodsOf({ timeNs }: TimedCommit): readonly [string, string] {
  return [`hour ${floorDiv(timeNs, HOUR_NS)}`, `day ${floorDiv(timeNs, DAY_NS)}`];
}

function isLater(a: TimedCommit, b: TimedCommit): boolean {
  return a.timeNs === b.timeNs ? a.seq > b.seq : a.timeNs > b.timeNs;
}

/** Also before 1970. */
function floorDiv(value: bigint, by: bigint): bigint {
  return (value - (((value % by) + by) % by)) / by;
}
