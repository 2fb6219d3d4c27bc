/** Runs of lines that differ, against the textbook's table of longest common subsequences. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { differingRuns } from "../../../../../src/fstree/merge/contents/line-diff.ts";

const lines = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 30 });

test("runs lead from one version to the other, are separated by equal lines, and are minimal", () => {
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const runs = differingRuns(before, after);
      const made: string[] = [];
      let at = 0;
      let to = 0;
      let edits = 0;
      for (const run of runs) {
        const kept = before.slice(at, run.start);
        expect(kept).toEqual(after.slice(to, run.from));
        expect(kept.length > 0 || run === runs[0]).toBe(true);
        made.push(...kept, ...after.slice(run.from, run.to));
        edits += run.end - run.start + (run.to - run.from);
        [at, to] = [run.end, run.to];
      }
      expect([...made, ...before.slice(at)]).toEqual(after);
      expect(edits).toBe(before.length + after.length - 2 * commonLines(before, after));
    }),
    { numRuns: 1_000 },
  );
});

function commonLines(a: readonly string[], b: readonly string[]): number {
  let row = b.map(() => 0);
  for (const line of a) {
    const next: number[] = [];
    for (const [at, other] of b.entries()) {
      const diagonal = at > 0 ? (row[at - 1] ?? 0) : 0;
      next.push(line === other ? diagonal + 1 : Math.max(row[at] ?? 0, next[at - 1] ?? 0));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
