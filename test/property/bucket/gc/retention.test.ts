/** What a bucket retains of its history: the rule against a plain restatement of it, and that thinning twice is thinning once. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Lamport } from "../../../../src/base/ids.ts";
import { effectiveTimes, type TimedCommit } from "../../../../src/bucket/gc/effective-time.ts";
import { agreedTime, retained } from "../../../../src/bucket/gc/retention.ts";
import {
  DEFAULT_RETENTION,
  LEAST_ALL_S,
  MOST_RETENTION_S,
  type Retention,
  retainsMore,
} from "../../../../src/format/commits/retention.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = 20_000 * DAY + 5 * HOUR;
const ns = (ms: number) => BigInt(ms) * 1_000_000n;

/** Times in ms in the order of history: most go on in small or large steps, some clocks are wrong. */
const anyHistory: fc.Arbitrary<TimedCommit[]> = fc
  .array(
    fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 0, max: 3 * HOUR }).map((by) => ({ by })) },
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 3 * DAY }).map((by) => ({ by })) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 * NOW }).map((at) => ({ at })) },
    ),
    { maxLength: 200 },
  )
  .map((steps) => {
    let atMs = NOW - 100 * DAY;
    return steps.map((step, index) => {
      if ("by" in step) atMs += step.by;
      return { seq: (index + 1) as Lamport, timeNs: ns("at" in step ? step.at : atMs) };
    });
  });

/** When a commit counts as made, by trying all commits before it. */
function effectiveMs({ seq, timeNs }: TimedCommit, all: readonly TimedCommit[], nowMs: number): number {
  const before = all.filter((other) => other.seq < seq && other.timeNs <= ns(nowMs + DAY)).map(msOf);
  return Math.max(msOf({ seq, timeNs }), ...before);
}

/** When a commit stopped being the newest. Undefined: it is the newest, or a commit up to its replacement is gone. */
function replacedMs(commit: TimedCommit, all: readonly TimedCommit[], nowMs: number): number | undefined {
  const effective = effectiveMs(commit, all, nowMs);
  const replacement = all.find((other) => {
    const isBelieved = other.timeNs <= ns(nowMs + DAY);
    return other.seq > commit.seq && isBelieved && msOf(other) >= effective;
  });
  if (replacement === undefined) return undefined;
  const between = all.filter(({ seq }) => seq > commit.seq && seq <= replacement.seq);
  return between.length === replacement.seq - commit.seq ? msOf(replacement) : undefined;
}

const msOf = ({ timeNs }: TimedCommit) => Number(timeNs / 1_000_000n);

/** Settings of a bucket: some rules may be off, and a coarser one may end before a finer one. */
const anyRetention: fc.Arbitrary<Retention> = fc.record({
  all: fc.oneof(fc.constant(LEAST_ALL_S), fc.integer({ min: LEAST_ALL_S, max: (3 * DAY) / 1000 })),
  minutes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: (20 * DAY) / 1000 })),
  hours: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: (120 * DAY) / 1000 })),
  days: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: MOST_RETENTION_S })),
});

/** The rule in the words of the documentation, period by period, without those that stay because they vouch for another's time. */
function staysByItself(
  commit: TimedCommit,
  all: readonly TimedCommit[],
  nowMs: number,
  { all: everything, minutes, hours, days }: Retention,
): boolean {
  const effective = effectiveMs(commit, all, nowMs);
  const age = nowMs - effective;
  const isLastOf = (period: number) =>
    all
      .filter((other) => Math.floor(msOf(other) / period) === Math.floor(msOf(commit) / period))
      .map((other) => ({ seq: other.seq, at: effectiveMs(other, all, nowMs) }))
      .every(({ seq, at }) => at < effective || (at === effective && seq <= commit.seq));
  if (commit.seq === all.at(-1)?.seq || age <= everything * 1000) return true;
  if (nowMs - (replacedMs(commit, all, nowMs) ?? effective) <= everything * 1000) return true;
  if (age <= minutes * 1000 && isLastOf(MINUTE)) return true;
  return (age <= hours * 1000 && isLastOf(HOUR)) || (age <= days * 1000 && isLastOf(DAY));
}

const thin = (commits: readonly TimedCommit[], nowMs: number, retention = DEFAULT_RETENTION) => {
  const kept = retained(commits, ns(nowMs), retention);
  return commits.filter(({ seq }) => kept.has(seq));
};

test("what stays is what the documentation says, plus the commits that vouch for its times", () => {
  fc.assert(
    fc.property(anyHistory, fc.oneof(fc.constant(DEFAULT_RETENTION), anyRetention), (history, retention) => {
      const kept = retained(history, ns(NOW), retention);
      const expected = history.filter((commit) => staysByItself(commit, history, NOW, retention)).map(({ seq }) => seq);
      const vouchers = effectiveTimes(history, ns(NOW))
        .filter(({ seq }) => expected.includes(seq))
        .map(({ voucher }) => voucher);
      expect(kept).toEqual(new Set([...expected, ...vouchers]));
    }),
    { numRuns: 50 },
  );
});

test("thinning again changes nothing", () => {
  fc.assert(
    fc.property(anyHistory, anyRetention, (history, retention) => {
      const once = thin(history, NOW, retention);
      expect(thin(once, NOW, retention)).toEqual(once);
    }),
  );
});

test("thinning along the way gives the same result as thinning late, unless a commit comes from the future", () => {
  fc.assert(
    fc.property(anyHistory, fc.nat({ max: 120 * DAY }), anyRetention, (history, laterMs, retention) => {
      const past = history.filter(({ timeNs }) => timeNs <= ns(NOW));
      const once = thin(past, NOW, retention);
      expect(thin(once, NOW + laterMs, retention)).toEqual(thin(past, NOW + laterMs, retention));
    }),
  );
});

test("a setting that retains no more than another keeps no root that the other drops", () => {
  fc.assert(
    fc.property(anyHistory, anyRetention, anyRetention, (history, a, b) => {
      const [less, more] = [
        {
          all: Math.min(a.all, b.all),
          minutes: Math.min(a.minutes, b.minutes),
          hours: Math.min(a.hours, b.hours),
          days: Math.min(a.days, b.days),
        },
        b,
      ];
      expect(retainsMore(less, more)).toBe(false);
      const kept = retained(history, ns(NOW), more);
      expect([...retained(history, ns(NOW), less)].filter((seq) => !kept.has(seq))).toEqual([]);
    }),
  );
});

/** Steps of real time, each with how far the clock of the commit's author is off. */
const anyClocks = fc.array(
  fc.record({
    stepMs: fc.integer({ min: 0, max: 3 * HOUR }),
    offMs: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: -40 * 365 * DAY, max: -DAY }) },
      { weight: 1, arbitrary: fc.integer({ min: 2 * DAY, max: 70 * 365 * DAY }) },
    ),
  }),
  { minLength: 1, maxLength: 60 },
);

function historyBy(clocks: readonly { readonly stepMs: number; readonly offMs: number }[]) {
  let atMs = NOW;
  const made = [{ atMs, offMs: 0 }, ...clocks.map(({ stepMs, offMs }) => ({ atMs: (atMs += stepMs), offMs }))];
  return { made, endMs: atMs, commits: made.map((each, index) => timed(each.atMs + each.offMs, index)) };
}

test("a commit by a clock that is years slow stays as long as the last correct commit before it is new", () => {
  fc.assert(
    fc.property(anyClocks, (clocks) => {
      const { made, endMs, commits } = historyBy(clocks);
      const kept = retained(commits, ns(endMs), DEFAULT_RETENTION);
      let rightMs = NOW;
      const lost: number[] = [];
      for (const [index, { atMs, offMs }] of made.entries()) {
        if (offMs === 0) rightMs = atMs;
        const mustStay = offMs < 0 && endMs - rightMs <= 15 * MINUTE;
        if (mustStay && !kept.has((index + 1) as Lamport)) lost.push(index + 1);
      }
      expect(lost).toEqual([]);
    }),
  );
});

test("a commit stays for as long as young ones from when it was replaced, whatever the clocks of those before the last", () => {
  fc.assert(
    fc.property(anyClocks, (clocks) => {
      const { made, endMs, commits } = historyBy([...clocks, { stepMs: MINUTE, offMs: 0 }]);
      const kept = retained(commits, ns(endMs), { all: LEAST_ALL_S, minutes: 0, hours: 0, days: 0 });
      const mustStay = commits.filter((_, index) => endMs - (made[index + 1]?.atMs ?? endMs) <= LEAST_ALL_S * 1000);
      expect(mustStay.filter(({ seq }) => !kept.has(seq))).toEqual([]);
    }),
  );
});

test("until its time comes, a commit by a clock that is years fast does not change which other commits stay", () => {
  fc.assert(
    fc.property(anyClocks, (clocks) => {
      const { made, endMs, commits } = historyBy(clocks);
      const right = commits.filter((_, index) => (made[index]?.offMs ?? 0) <= 0);
      const fast = commits.filter(({ timeNs }) => timeNs > ns(endMs + DAY));
      const withFast = [...right, ...fast].toSorted((a, b) => a.seq - b.seq);
      const kept = retained(withFast, ns(endMs), DEFAULT_RETENTION);
      const expected = retained(right, ns(endMs), DEFAULT_RETENTION);
      const last = withFast.at(-1)?.seq;
      const lastRight = right.at(-1)?.seq;
      const others = right.map(({ seq }) => seq).filter((seq) => seq !== last && seq !== lastRight);
      expect(others.filter((seq) => kept.has(seq))).toEqual(others.filter((seq) => expected.has(seq)));
    }),
  );
});

test("once the time of a fast clock comes, no day drops out of the history because of it", () => {
  fc.assert(
    fc.property(anyClocks, fc.nat({ max: 100 * DAY }), (clocks, laterMs) => {
      const { made, endMs, commits } = historyBy(clocks);
      const right = commits.filter((_, index) => made[index]?.offMs === 0);
      const daysOf = (history: readonly TimedCommit[]) =>
        new Set(thin(history, endMs + laterMs).map((each) => Math.floor(msOf(each) / DAY)));
      const days = daysOf(commits);
      // The newest commit stays whatever its age, so that only days count that are young enough to stay.
      const young = [...daysOf(right)].filter((day) => endMs + laterMs - day * DAY <= 90 * DAY);
      expect(young.filter((day) => !days.has(day))).toEqual([]);
    }),
  );
});

test("the newest commit and commits from the future are never thinned out", () => {
  fc.assert(
    fc.property(anyHistory, fc.nat({ max: 4 * NOW }), (history, nowMs) => {
      const kept = retained(history, ns(nowMs), DEFAULT_RETENTION);
      const mustStay = history.filter(({ timeNs }, index) => index === history.length - 1 || timeNs > ns(nowMs));
      expect(mustStay.filter(({ seq }) => !kept.has(seq))).toEqual([]);
    }),
  );
});

test("of a commit every five seconds for 100 days, 15 minutes stay whole, then minutes for a day, hours for a week, and 90 days", () => {
  const perDay = 17_280;
  const hours = Array.from({ length: 98 * 24 }, (_, hour) => timed(NOW - 100 * DAY + hour * HOUR, hour));
  const busy = Array.from({ length: 2 * perDay }, (_, index) =>
    timed(NOW - 2 * DAY + (index + 1) * 5_000, hours.length + index),
  );
  const kept = retained([...hours, ...busy], ns(NOW), DEFAULT_RETENTION);
  const expected = 15 * 12 + (24 * 60 - 15) + 6 * 24 + 83;
  expect(kept.size).toBeGreaterThan(expected - 5);
  expect(kept.size).toBeLessThan(expected + 5);
});

test("the agreed time is the latest one if each commit is at most a day later than those before it", () => {
  const steps = fc.array(fc.integer({ min: -DAY, max: DAY }), { minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(steps, (bys) => {
      let latest = NOW;
      const history = [NOW];
      for (const by of bys) {
        history.push(latest + by);
        latest = Math.max(latest, latest + by);
      }
      expect(agreedTime(history.map(timed))).toBe(ns(latest));
    }),
  );
});

test("a leap in time is agreed on only after more than a day in which every commit claims it", () => {
  const leap = fc.integer({ min: 2 * DAY, max: 400 * DAY });
  fc.assert(
    fc.property(leap, fc.array(fc.boolean(), { maxLength: 20 }), fc.nat({ max: 40 }), (by, mixed, alone) => {
      const leaps = [...mixed, false, ...Array.from({ length: alone }, () => true)];
      const history = [NOW, ...leaps.map((isAhead, index) => NOW + index * HOUR + (isAhead ? by : 0))];
      const agreed = agreedTime(history.map(timed));
      expect(agreed >= ns(NOW + by)).toBe(alone > 24);
    }),
  );
});

test("the agreed time is always the time of some commit", () => {
  fc.assert(
    fc.property(anyHistory, (history) => {
      const first = timed(NOW - 100 * DAY, 0);
      const all = [first, ...history];
      expect(all.map(({ timeNs }) => timeNs)).toContain(agreedTime(all));
    }),
  );
});

test("in a bucket used every few weeks, the agreed time is at most one use behind", () => {
  const uses = fc.array(fc.integer({ min: 2 * DAY, max: 60 * DAY }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(uses, (gaps) => {
      let at = NOW;
      const times = [NOW, ...gaps.map((gap) => (at += gap))];
      expect(agreedTime(times.map(timed))).toBe(ns(times.at(-2) ?? 0));
    }),
  );
});

function timed(ms: number, index: number): TimedCommit {
  return { seq: (index + 1) as Lamport, timeNs: ns(ms) };
}
