/** What a bucket retains of its history: the rule against a plain restatement of it, and that thinning twice is thinning once. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Lamport } from "../../src/base/ids.ts";
import { agreedTime, retained, type TimedCommit } from "../../src/bucket/gc/retention.ts";

const HOUR = 3_600_000;
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

/** The rule in the words of the format, period by period. */
function stays(commit: TimedCommit, all: readonly TimedCommit[], nowMs: number): boolean {
  const timeOf = (each: TimedCommit) => Number(each.timeNs / 1_000_000n);
  const age = nowMs - timeOf(commit);
  const isLastOf = (period: number) =>
    all
      .filter((other) => Math.floor(timeOf(other) / period) === Math.floor(timeOf(commit) / period))
      .every(
        (other) => timeOf(other) < timeOf(commit) || (timeOf(other) === timeOf(commit) && other.seq <= commit.seq),
      );
  if (commit.seq === all.length || age <= DAY) return true;
  return (age <= 7 * DAY && isLastOf(HOUR)) || (age <= 90 * DAY && isLastOf(DAY));
}

const thin = (commits: readonly TimedCommit[], nowMs: number) => {
  const kept = retained(commits, ns(nowMs));
  return commits.filter(({ seq }) => kept.has(seq));
};

test("what stays is what the format says", () => {
  fc.assert(
    fc.property(anyHistory, (history) => {
      const kept = retained(history, ns(NOW));
      for (const commit of history) expect(kept.has(commit.seq)).toBe(stays(commit, history, NOW));
    }),
  );
});

test("thinning again changes nothing, and thinning on the way is no different from thinning late", () => {
  fc.assert(
    fc.property(anyHistory, fc.nat({ max: 120 * DAY }), (history, laterMs) => {
      const once = thin(history, NOW);
      expect(thin(once, NOW)).toEqual(once);
      expect(thin(once, NOW + laterMs)).toEqual(thin(history, NOW + laterMs));
    }),
  );
});

test("the newest commit is never thinned out, nor one from the future", () => {
  fc.assert(
    fc.property(anyHistory, fc.nat({ max: 4 * NOW }), (history, nowMs) => {
      const kept = retained(history, ns(nowMs));
      const mustStay = history.filter(({ timeNs }, index) => index === history.length - 1 || timeNs > ns(nowMs));
      expect(mustStay.filter(({ seq }) => !kept.has(seq))).toEqual([]);
    }),
  );
});

test("a commit every five seconds for 100 days leaves a day of them, the hours of a week, and 90 days", () => {
  const perDay = 17_280;
  const history = Array.from({ length: 2 * perDay }, (_, index) => ({
    seq: (index + 1) as Lamport,
    timeNs: ns(NOW - 2 * DAY + (index + 1) * 5_000),
  }));
  const hours = Array.from({ length: 98 * 24 }, (_, hour) => ({
    seq: (hour + 1) as Lamport,
    timeNs: ns(NOW - 100 * DAY + hour * HOUR),
  }));
  const later = history.map(({ seq, timeNs }) => ({ seq: (seq + hours.length) as Lamport, timeNs }));
  const kept = retained([...hours, ...later], ns(NOW));
  expect(kept.size).toBeGreaterThan(perDay + 6 * 24 + 80);
  expect(kept.size).toBeLessThan(perDay + 7 * 24 + 92);
});

test("commits agree on the latest time if each comes at most a day after those before it", () => {
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

test("a leap is not agreed on before others claim the same for a day, and not as long as somebody is where it began", () => {
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

test("what is agreed on is a time that some commit gives, and never later than all of them", () => {
  fc.assert(
    fc.property(anyHistory, (history) => {
      const first = timed(NOW - 100 * DAY, 0);
      const all = [first, ...history];
      expect(all.map(({ timeNs }) => timeNs)).toContain(agreedTime(all));
    }),
  );
});

test("a bucket that is used every few weeks is no more than one use behind", () => {
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
