/** Line merges: clean where an unchanged line lies between the sides, refused wherever anything could go wrong. */
import { describe, expect, test } from "vitest";
import * as fc from "fast-check";
import type { FileName } from "../../../../../src/base/ids.ts";
import { mergeText, mergeTexts } from "../../../../../src/fstree/merge/contents/text.ts";
import { readContent } from "../../../../../src/content/read.ts";
import { writeBytes } from "../../../../../src/content/write.ts";
import { newRecord } from "../../../../../src/format/files/record.ts";
import type { FileRecord } from "../../../../../src/format/files/record.ts";
import { createMergeContext } from "../../../../support/merge-context.ts";

describe("a line merge", () => {
  test("keeps both sides' changes when an unchanged line separates them", () => {
    expect(mergeText("1\n2\n3\n", "W\n2\n3\n", "1\n2\nL\n")).toBe("W\n2\nL\n");
  });

  test("is refused when the changes are adjacent, even without a common line", () => {
    expect(mergeText("1\n2\n3\n", "W\n2\n3\n", "1\nL\n3\n")).toBeUndefined();
    expect(mergeText("1\n2\n", "1\nW\n2\n", "1\nL\n2\n")).toBeUndefined();
    expect(mergeText("1\n2\n3\n", "1\nW\n2\n3\n", "1\n3\n")).toBeUndefined();
  });

  test("applies a change that both sides made once, wherever it is", () => {
    expect(mergeText("1\n2\n3\n4\n5\n", "S\n2\nW\n4\n5\n", "S\n2\n3\n4\nL\n")).toBe("S\n2\nW\n4\nL\n");
    expect(mergeText("1\n2\n3\n", "1\n3\nS\n", "1\n3\nS\n")).toBe("1\n3\nS\n");
  });

  test("is refused when a file mixes line endings, or the sides use different ones", () => {
    expect(mergeText("1\r\n2\r\n3\r\n", "W\r\n2\r\n3\r\n", "1\r\n2\r\nL\r\n")).toBe("W\r\n2\r\nL\r\n");
    expect(mergeText("1\n2\n3\n", "1\r\n2\r\n3\r\n", "1\n2\nL\n")).toBeUndefined();
    expect(mergeText("1\n2\n3\r\n", "W\n2\n3\r\n", "1\n2\nL\r\n")).toBeUndefined();
    expect(mergeText("1\r2\r3\r", "W\r2\r3\r", "1\r2\rL\r")).toBe("W\r2\rL\r");
  });

  test("keeps an unterminated last line last", () => {
    expect(mergeText("1\n2\n3", "W\n2\n3", "1\n2\n3\n")).toBe("W\n2\n3\n");
    expect(mergeText("1\n2\n3", "W\n2\n3", "1\n2\nL")).toBe("W\n2\nL");
    expect(mergeText("1\n2\n3", "1\n2\n3\nW", "0\n1\n2\n3")).toBe("0\n1\n2\n3\nW");
  });

  test("of thousands of repeating lines is fast", () => {
    const base: string[] = Array.from({ length: 13_000 }, (_, at) => (at % 3 === 0 ? "  {\n" : "  },\n"));
    const winner = ["W\n", ...base.slice(1, -2), "W\n", ...base.slice(-1)].join("");
    const loser = base.toSpliced(6_000, 1, "L\n");
    const both = ["W\n", ...loser.slice(1, -2), "W\n", ...loser.slice(-1)].join("");
    expect(mergeText(base.join(""), winner, loser.join(""))).toBe(both);
  });

  test("treats a near-complete rewrite by one side as one change", () => {
    const base = Array.from({ length: 10_000 }, (_, at) => `${at}\n`);
    const winner = [...base.slice(0, 9_000).map((line) => `w${line}`), ...base.slice(9_000)].join("");
    expect(mergeText(base.join(""), winner, `${base.join("")}L\n`)).toBe(`${winner}L\n`);
    expect(mergeText(base.join(""), winner, base.toSpliced(5_000, 1, "L\n").join(""))).toBeUndefined();
  });

  test("of more than 100,000 lines is refused", () => {
    for (const ending of ["\n", "\r\n"]) {
      const lines = (count: number) => `a${ending}`.repeat(count);
      const merged = (count: number) =>
        mergeText(lines(count), `b${ending}${lines(count)}`, `${lines(count)}c${ending}`);
      expect(merged(99_999)).toBe(`b${ending}${lines(99_999)}c${ending}`);
      expect(merged(100_000)).toBeUndefined();
    }
  });

  test("of thousands of lines is fast, or is refused", () => {
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

describe("a line merge of files", () => {
  const sides = (mark: string) => [`1${mark}\n2\n3\n`, `1${mark}\n2\n3\nW\n`, `L\n1${mark}\n2\n3\n`];

  test("keeps every UTF-8 byte, including a byte order mark", async () => {
    const marked = ["1\n2\n3\n", "1\n2\n3\nW\n", "1\nL\n3\n"].map((text) => `\xef\xbb\xbf${text}`);
    expect(await mergeFiles(marked)).toBe("\xef\xbb\xbf1\nL\n3\nW\n");
    expect(await mergeFiles(sides("\xc3\xa4"))).toBe("L\n1\xc3\xa4\n2\n3\nW\n");
  });

  test("is refused when a file contains a NUL or is not UTF-8", async () => {
    for (const mark of ["\0", "\xff", "\xc3"]) expect(await mergeFiles(sides(mark))).toBeUndefined();
  });

  test("is refused when one of the three versions is longer than the policy allows", async () => {
    const line = "4\n".repeat(100);
    const long = [
      [`1\n2\n3\n${line}`, "1\n2\n3\n", `0\n1\n2\n3\n${line}`],
      ["1\n2\n3\n", `1\n2\n3\n${line}`, "L\n1\n2\n3\n"],
      ["1\n2\n3\n", "L\n1\n2\n3\n", `1\n2\n3\n${line}`],
    ];
    for (const versions of long) {
      const most = Math.max(...versions.map(({ length }) => length));
      expect(await mergeFiles(versions, most)).toBeDefined();
      expect(await mergeFiles(versions, most - 1)).toBeUndefined();
    }
  });

  /** Bytes as characters. */
  async function mergeFiles(versions: readonly string[], textBytes = 1 << 20): Promise<string | undefined> {
    const made = createMergeContext();
    const context = { ...made, policy: { ...made.policy, textBytes } };
    const plain = newRecord("file", { mode: 0o644, uid: 0, gid: 0, timeNs: 1n });
    const files: FileRecord[] = [];
    for (const version of versions) {
      const bytes = Buffer.from(version, "latin1");
      const content = await writeBytes(context.sink, context.contentConfig, bytes);
      files.push({ ...plain, content, size: bytes.length });
    }
    const [base = plain, winner = plain, loser = plain] = files;
    const merged = await mergeTexts(context, ["f.txt" as FileName], base, winner, loser);
    if (merged === undefined) return undefined;
    return Buffer.from(await readContent(context.content, merged.content, merged.size, 0, merged.size)).toString(
      "latin1",
    );
  }
});

describe("line merges of arbitrary texts", () => {
  const text = fc.array(fc.constantFrom("a\n", "b\n", "c\n", "d\n"), { maxLength: 12 }).map((lines) => lines.join(""));

  test("give the same result with the sides swapped", () => {
    fc.assert(
      fc.property(text, text, text, (base, x, y) => {
        expect(mergeText(base, x, y)).toBe(mergeText(base, y, x));
      }),
    );
  });

  test("take the other side when one side changed nothing, or both made the same change", () => {
    fc.assert(
      fc.property(text, text, (base, x) => {
        expect(mergeText(base, x, base)).toBe(x);
        expect(mergeText(base, x, x)).toBe(x);
      }),
    );
  });

  test("keep every line that a side added", () => {
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
