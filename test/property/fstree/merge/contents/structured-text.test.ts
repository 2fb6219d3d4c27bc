/** YAML that merges by lines still parses, as the package yaml says. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import type { FileName } from "../../../../../src/base/ids.ts";
import { isSound } from "../../../../../src/fstree/merge/contents/structured-text.ts";
import { mergeText } from "../../../../../src/fstree/merge/contents/text.ts";

/** What lines of configuration files are, and some that only fit in few places. */
const words = (
  `a: 1;b: two;c:;d: {x: 1};e: [1, 2];'f': "g";- a: 1;- b;- - c;-;g: 'it: is';run: |;text: >-;- |;make;# note;` +
  `;---;h: &h;i: &i 1;j: *h;k: *i;- *i;l: !t x;m: !!str;n: !t |;o: &o |;\tp;q: a # b;r: |2;s: [*i];t: &h *i;u: |#;` +
  `v: ["x", 'it''s'] # n;w: {"k": 1, 'l': "a\\n"};x: ["y"z];"a\\"b";y: [ " ]`
).split(";");
const line = fc
  .tuple(fc.constantFrom(0, 0, 2, 2, 4, 4, 1, 3, 6), fc.constantFrom(...words))
  .map(([indent, word]) => " ".repeat(indent) + word);
/** Lines that belong together. */
const section = fc.constantFrom(
  ["run: |", "  make", "  make test", "", "  make install"],
  ["text: >-", "", "  one", "", "  two"],
  ["base: &i", "  x: 1", "  y: 2"],
  ["use: *i", "k: 1"],
  ["list:", "  - a: 1", "    b: 2", "  - c"],
  ["jobs:", "  run: |", "    a", "", "    b", "  k: 1"],
  ["one: 1", "two: 2", "three: 3"],
);
const base = fc.array(fc.oneof({ weight: 3, arbitrary: section }, fc.array(line, { maxLength: 2 })), { maxLength: 5 });
const likely = fc.constantFrom("  make", "    make", "new: *i", "  new: *i", "base:", "k: &i 1");
const inserted = fc.array(fc.oneof(likely, line), { maxLength: 1 });
const edit = fc.record({ at: fc.nat(14), remove: fc.nat(1), insert: inserted });
const deeper = fc.record({ from: fc.nat(14), count: fc.nat(4), spaces: fc.constantFrom(1, 2) });

function edited(lines: readonly string[], edits: readonly { at: number; remove: number; insert: string[] }[]) {
  const left = [...lines];
  for (const { at, remove, insert } of edits) left.splice(Math.min(at, left.length), remove, ...insert);
  return left;
}

function moved(lines: readonly string[], { from, count, spaces }: { from: number; count: number; spaces: number }) {
  return lines.map((each, index) => (index >= from && index < from + count ? " ".repeat(spaces) + each : each));
}

function parses(text: string): boolean {
  return parseAllDocuments(text, { uniqueKeys: false }).every((document) => {
    if (document.errors.length > 0) return false;
    try {
      // This looks aliases up.
      document.toJS();
      return true;
    } catch {
      return false;
    }
  });
}

test("two versions that parse merge to one that parses", async () => {
  let merges = 0;
  const some = fc.array(edit, { maxLength: 2 });
  await fc.assert(
    fc.asyncProperty(base, some, some, fc.option(deeper), async (sections, x, y, deep) => {
      const lines = sections.flat();
      const texts = [lines, deep === null ? edited(lines, x) : moved(lines, deep), edited(lines, y)].map(
        (each) => each.join("\n") + "\n",
      );
      const [base = "", winner = "", loser = ""] = texts;
      if (!texts.every(parses)) return;
      const merged = mergeText(base, winner, loser);
      if (merged === undefined || !(await isSound(["f.yaml" as FileName], merged, winner, loser))) return;
      merges++;
      expect(parses(merged), merged).toBe(true);
    }),
    { numRuns: 8_000, endOnFailure: true },
  );
  // It is not true only because nothing merges.
  expect(merges).toBeGreaterThan(200);
});
