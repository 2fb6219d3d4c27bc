/** Conflict names and the policy's globs: exact to the byte, since every writer must make the same. */
import { describe, expect, test } from "vitest";
import type { FileId, FileName } from "../../../../src/base/ids.ts";
import { nameFromText, nameToText } from "../../../../src/base/names.ts";
import { plainNameOf } from "../../../../src/bucket/conflicts/marked-name.ts";
import { directoryNames, fileNames } from "../../../../src/fstree/merge/conflict-names.ts";
import { matchesAll } from "../../../../src/fstree/merge/globs.ts";

const hash = Buffer.from("0123456789abcdef".repeat(4), "hex");

describe("a conflict name", () => {
  test("has eight digits, more if those are taken, and finally a counter", () => {
    expect(firstOf(fileNames(nameFromText("f.txt"), hash), 6)).toEqual([
      "f (conflict 01234567).txt",
      "f (conflict 0123456789abcdef).txt",
      `f (conflict ${"0123456789abcdef".repeat(2)}).txt`,
      `f (conflict ${"0123456789abcdef".repeat(4)}).txt`,
      `f (conflict ${"0123456789abcdef".repeat(4)} 2).txt`,
      `f (conflict ${"0123456789abcdef".repeat(4)} 3).txt`,
    ]);
  });

  test.each([
    ["a.tar.gz", "a.tar (conflict 01234567).gz"],
    [".bashrc", ".bashrc (conflict 01234567)"],
    [".config.json", ".config (conflict 01234567).json"],
    ["Makefile", "Makefile (conflict 01234567)"],
    ["...", "... (conflict 01234567)"],
    ["end.", "end (conflict 01234567)."],
  ])("of %s is %s", (name, expected) => {
    expect(firstOf(fileNames(nameFromText(name), hash), 1)).toEqual([expected]);
  });

  test("is shortened in the stem, between characters, to 255 bytes", () => {
    const [long = ""] = firstOf(fileNames(nameFromText(`${"ä".repeat(120)}.text`), hash), 1);
    // 255 − 20 for the mark − 5 for the extension = 230 bytes, an even number of which are whole characters.
    expect(long).toBe(`${"ä".repeat(114)}ä (conflict 01234567).text`);
    const [odd = ""] = firstOf(fileNames(nameFromText(`x${"ä".repeat(120)}.text`), hash), 1);
    expect(odd).toBe(`x${"ä".repeat(114)} (conflict 01234567).text`);
  });

  test("of a name that is not UTF-8 is shortened too", () => {
    const name = fileNames("\x80".repeat(250) as FileName, hash).next().value;
    expect(name).toBe(`${"\x80".repeat(235)} (conflict 01234567)`);
  });

  test("of a name with an overlong extension keeps none of it as an extension", () => {
    const name = fileNames(`x.${"e".repeat(250)}` as FileName, hash).next().value;
    expect(name).toBe(`x.${"e".repeat(233)} (conflict 01234567)`);
  });

  test("of a directory shows the hash of its id and has no extension", () => {
    const id = "aaabbbcccddd0123456789abcdef0123" as FileId;
    expect(firstOf(directoryNames(nameFromText("my.app"), id), 4)).toEqual([
      "my.app (conflict 01234567)",
      "my.app (conflict 0123456789abcdef)",
      "my.app (conflict 0123456789abcdef0123aaabbbcccddd)",
      "my.app (conflict 0123456789abcdef0123aaabbbcccddd 2)",
    ]);
  });
});

test("every conflict name that a merge makes can be read back as the original name", () => {
  const made = [
    ...firstOf(directoryNames(nameFromText("my.app"), "aaabbbcccddd0123456789abcdef0123" as FileId), 6),
    ...firstOf(fileNames(nameFromText("my.app"), new Uint8Array(32).fill(0xab)), 6),
  ];
  expect(made.map((name) => plainNameOf(name as FileName))).toEqual(made.map(() => nameFromText("my.app")));
});

describe("globs", () => {
  test.each([
    ["*.txt", "a.txt", true],
    ["*.txt", ".txt", true],
    ["*.txt", "a.txt.gz", false],
    ["*.txt", "A.TXT", false],
    ["a*b*c", "aXbbYc", true],
    ["a*b*c", "aXbY", false],
    ["?.c", "x.c", true],
    ["?.c", ".c", false],
    ["Makefile", "Makefile", true],
    ["*", "", true],
  ])("%s on %s: %s", (glob, name, expected) => {
    expect(matchesAll([glob], [name as FileName])).toBe(expected);
  });

  test("must match each of an object's names", () => {
    const names = ["a.txt", "b.md", "c.bin"].map(nameFromText);
    expect(matchesAll(["*.txt", "*.md"], names.slice(0, 2))).toBe(true);
    expect(matchesAll(["*.txt", "*.md"], names)).toBe(false);
    expect(matchesAll(["*"], [])).toBe(false);
  });
});

function firstOf(names: Generator<FileName>, count: number): string[] {
  return Array.from({ length: count }, () => nameToText(names.next().value));
}
