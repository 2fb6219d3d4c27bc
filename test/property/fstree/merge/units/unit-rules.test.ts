import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FileName } from "../../../../../src/base/ids.ts";
import type { Units } from "../../../../../src/format/commits/policy.ts";
import { Globs } from "../../../../../src/fstree/merge/globs.ts";
import { UnitRules } from "../../../../../src/fstree/merge/units/unit-rules.ts";

const letters = fc.constantFrom("a", "b", ".", "-", "é", ")");
const text = (more: fc.Arbitrary<string>) =>
  fc.array(fc.oneof(letters, more), { maxLength: 6 }).map((all) => all.join(""));
const name = text(fc.constant("a.b")).map((made) => Buffer.from(made).toString("latin1"));
const glob = text(fc.constantFrom("*", "*", "?"));
const units: fc.Arbitrary<Units> = fc.record({
  trees: fc.array(
    fc.oneof(
      glob,
      glob.map((made) => `**/${made}`),
    ),
    { maxLength: 3 },
  ),
  families: fc.array(
    fc.record({
      globs: fc.array(glob, { maxLength: 3 }),
      suffixes: fc.array(text(fc.constant("-a")), { maxLength: 3 }),
    }),
    { maxLength: 3 },
  ),
});

test("globs match as equivalent regular expressions do", () => {
  fc.assert(
    fc.property(fc.array(glob, { maxLength: 4 }), name, (globs, bytes) => {
      expect(new Globs(globs).match(bytes)).toBe(globs.some((each) => patternOf(each).test(bytes)));
    }),
    { numRuns: 5_000 },
  );
});

describe("the rules of units", () => {
  test("find trees by name, including conflict copies", () => {
    fc.assert(
      fc.property(units, name, fc.nat({ max: 2 }), (given, bytes, copies) => {
        const called = bytes + " (conflict 0123abcd)".repeat(copies);
        const globs = given.trees.map((tree) => tree.replace(/^(?:\*\*\/)+/, ""));
        expect(new UnitRules(given).isTree(called as FileName)).toBe(globs.some((each) => patternOf(each).test(bytes)));
      }),
      { numRuns: 5_000 },
    );
  });

  test("find the main names of a member, and the members of a main name", () => {
    fc.assert(
      fc.property(units, name, (given, bytes) => {
        const mains = new Set<string>();
        const suffixesOf = new Set<string>();
        for (const { globs, suffixes } of given.families) {
          const isMain = (main: string) => globs.some((each) => patternOf(each).test(main));
          for (const suffix of ["", ...suffixes].map(latin1))
            if (bytes.endsWith(suffix) && isMain(bytes.slice(0, bytes.length - suffix.length)))
              mains.add(bytes.slice(0, bytes.length - suffix.length));
          if (isMain(bytes)) for (const suffix of suffixes) suffixesOf.add(latin1(suffix));
        }
        const rules = new UnitRules(given);
        expect(rules.mainsOf(bytes as FileName)).toEqual([...mains]);
        expect(rules.suffixesOf(bytes as FileName)).toEqual([...suffixesOf].sort());
      }),
      { numRuns: 5_000 },
    );
  });
});

function patternOf(glob: string): RegExp {
  const parts = [...latin1(glob)].map((letter) => {
    if (letter === "*") return "[^]*";
    return letter === "?" ? "[^]" : letter.replace(/[.)]/, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`);
}

function latin1(made: string): string {
  return Buffer.from(made).toString("latin1");
}
