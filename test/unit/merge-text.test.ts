/** Line merges: clean where an unchanged line lies between the sides, refused wherever anything could go wrong. */
import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import { mergeText } from "../../src/bucket/merge/text.ts";

describe("a line merge", () => {
  test("takes both sides' changes when a line lies between them", () => {
    expect(mergeText("1\n2\n3\n", "W\n2\n3\n", "1\n2\nL\n")).toBe("W\n2\nL\n");
  });

  test("is refused when changes touch, even without a line in common", () => {
    expect(mergeText("1\n2\n3\n", "W\n2\n3\n", "1\nL\n3\n")).toBeUndefined();
    expect(mergeText("1\n2\n", "1\nW\n2\n", "1\nL\n2\n")).toBeUndefined();
    expect(mergeText("1\n2\n3\n", "1\nW\n2\n3\n", "1\n3\n")).toBeUndefined();
  });

  test("counts a change that both made once, wherever it stands", () => {
    expect(mergeText("1\n2\n3\n4\n5\n", "S\n2\nW\n4\n5\n", "S\n2\n3\n4\nL\n")).toBe("S\n2\nW\n4\nL\n");
    expect(mergeText("1\n2\n3\n", "1\n3\nS\n", "1\n3\nS\n")).toBe("1\n3\nS\n");
  });

  test("is refused when a file has two kinds of line endings, or the sides have different ones", () => {
    expect(mergeText("1\r\n2\r\n3\r\n", "W\r\n2\r\n3\r\n", "1\r\n2\r\nL\r\n")).toBe("W\r\n2\r\nL\r\n");
    expect(mergeText("1\n2\n3\n", "1\r\n2\r\n3\r\n", "1\n2\nL\n")).toBeUndefined();
    expect(mergeText("1\n2\n3\r\n", "W\n2\n3\r\n", "1\n2\nL\r\n")).toBeUndefined();
    expect(mergeText("1\r2\r3\r", "W\r2\r3\r", "1\r2\rL\r")).toBe("W\r2\rL\r");
  });

  test("keeps a last line without newline last", () => {
    expect(mergeText("1\n2\n3", "W\n2\n3", "1\n2\n3\n")).toBe("W\n2\n3\n");
    expect(mergeText("1\n2\n3", "W\n2\n3", "1\n2\nL")).toBe("W\n2\nL");
    expect(mergeText("1\n2\n3", "1\n2\n3\nW", "0\n1\n2\n3")).toBe("0\n1\n2\n3\nW");
  });

  test("of thousands of lines that repeat takes no longer than a moment", () => {
    const base: string[] = Array.from({ length: 13_000 }, (_, at) => (at % 3 === 0 ? "  {\n" : "  },\n"));
    const winner = ["W\n", ...base.slice(1, -2), "W\n", ...base.slice(-1)].join("");
    const loser = base.toSpliced(6_000, 1, "L\n");
    const both = ["W\n", ...loser.slice(1, -2), "W\n", ...loser.slice(-1)].join("");
    expect(mergeText(base.join(""), winner, loser.join(""))).toBe(both);
  });

  test("of which one side wrote almost everything anew counts that as one change", () => {
    const base = Array.from({ length: 10_000 }, (_, at) => `${at}\n`);
    const winner = [...base.slice(0, 9_000).map((line) => `w${line}`), ...base.slice(9_000)].join("");
    expect(mergeText(base.join(""), winner, `${base.join("")}L\n`)).toBe(`${winner}L\n`);
    expect(mergeText(base.join(""), winner, base.toSpliced(5_000, 1, "L\n").join(""))).toBeUndefined();
  });

  test("of thousands of lines takes no longer than a moment, or is refused", () => {
    const lines = (count: number, line: (at: number) => string) =>
      Array.from({ length: count }, (_, at) => `${line(at)}\n`).join("");
    const base = lines(60_000, String);
    expect(mergeText(base, `W\n${base}`, `${base}L\n`)).toBe(`W\n${base}L\n`);
    expect(
      mergeText(
        base,
        lines(60_000, (at) => `w${at}`),
        `${base}L\n`,
      ),
    ).toBeUndefined();
    expect(
      mergeText(
        lines(60_000, () => ""),
        lines(59_999, () => ""),
        lines(60_001, () => ""),
      ),
    ).toBeUndefined();
  });
});

describe("line merges of any texts", () => {
  const text = fc.array(fc.constantFrom("a\n", "b\n", "c\n", "d\n"), { maxLength: 12 }).map((lines) => lines.join(""));

  test("do not depend on which side is which", () => {
    fc.assert(
      fc.property(text, text, text, (base, x, y) => {
        expect(mergeText(base, x, y)).toBe(mergeText(base, y, x));
      }),
    );
  });

  test("with a side that changed nothing, or the same, give the other side", () => {
    fc.assert(
      fc.property(text, text, (base, x) => {
        expect(mergeText(base, x, base)).toBe(x);
        expect(mergeText(base, x, x)).toBe(x);
      }),
    );
  });

  test("have every line that a side added", () => {
    fc.assert(
      fc.property(text, fc.nat(11), fc.nat(11), (base, i, j) => {
        const lines = base.match(/.*\n/g) ?? [];
        const merged = mergeText(base, lines.toSpliced(i, 0, "W\n").join(""), lines.toSpliced(j, 0, "L\n").join(""));
        if (merged === undefined) return;
        expect(merged.replace("W\n", "").replace("L\n", "")).toBe(base);
        expect([merged.includes("W\n"), merged.includes("L\n")]).toEqual([true, true]);
      }),
    );
  });
});
