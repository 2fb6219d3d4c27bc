/** Merged JSON, TOML and YAML: lines that fit together must still be one document, in which no mapping has a key twice. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FileName } from "../../../../../src/base/ids.ts";
import { repeatedJsonKeys } from "../../../../../src/fstree/merge/contents/json-keys.ts";
import { KeyPaths } from "../../../../../src/fstree/merge/contents/repeated-keys.ts";
import { isSound } from "../../../../../src/fstree/merge/contents/structured-text.ts";
import { repeatedYamlKeys } from "../../../../../src/fstree/merge/contents/yaml-keys.ts";

const sound = (name: string, merged: string, winner: string, loser = winner) =>
  isSound([name as FileName], merged, winner, loser);

describe("a merge that duplicates a key is a conflict when each side has the key once", () => {
  test.each([
    ["f.json", '{"a":{"k":1},\n"b":2,\n"a":3}', '{"a":{"k":1},\n"b":2}'],
    ["f.JSON", String.raw`{"a": 1, "\u0061": 2}`, '{"a": 1}'],
    ["f.json", '[{"a": 1, "b": [{}], "a": 2}]', '[{"a": 1}]'],
    ["f.toml", "a = 1\nb = 2\na = 3\n", "a = 1\nb = 2\n"],
    ["f.toml", "[t]\na = 1\n[u]\n[t]\n", "[t]\na = 1\n"],
    ["f.yaml", "a: 1\nb: 2\na: 3\n", "a: 1\nb: 2\n"],
    ["f.yml", "s:\n  - a: 1\n    b: 2\n    a: 3\n", "s:\n  - a: 1\n    b: 2\n"],
    ["f.yml", "k:\n- a: 1\n- b: 2\nk: 3\n", "k:\n- a: 1\n"],
    ["f.yaml", "a: |\n  a: 1\n  a: 2\nb: 1\n'a': 2\n", "a: 1\n"],
  ])("%s %j", async (name, merged, side) => {
    expect(await sound(name, side, side)).toBe(true);
    expect(await sound(name, merged, side)).toBe(false);
    expect(await sound("f.txt", merged, side)).toBe(true);
  });
});

test("the same key in several mappings is not a duplicate", async () => {
  expect(await sound("f.json", '{"a":{"a":1},"b":[{"a":1},{"a":"a\\"a"}]}', "{}")).toBe(true);
  expect(await sound("f.toml", "a = 1\n[t]\na = 1\n[[l]]\na = 1\n[[l]]\na = 2\n", "")).toBe(true);
  const yaml =
    "\uFEFF# c\na:\n  a: 1\nb:\n  - a: {a: 1}\n    c: [x, y]\n  - a: &x >-\n      a: 1\n      a: 2\n---\na: 'it: is'\n" +
    "b: &b !t 1\nc: *b\nd: |\n\n    x\n      y\n    z\n  \ne: !t &e\n  f: *b\n" +
    "<<: [*b, *e]\ng: !!python/name:a.b\nh: [a/*, b&c]\ni: |\n    x\n  # c\nj:\n- k: 1\nl:\n  -\n    m\n" +
    `n: ["x", 'it''s'] # c\no: {"k": "a\\n\\"b#", 'l': "\\u00e9"}\np: "a\\tb"\n`;
  expect(await sound("f.yaml", yaml, "")).toBe(true);
});

test("a key that one side already duplicates may stay duplicated, but not occur more often", async () => {
  const twice = '{"a": 1,\n"a": 2,\n"b": 3}';
  expect(await sound("f.json", twice.replace("3", "4"), '{"a": 1}', twice)).toBe(true);
  expect(await sound("f.json", twice.replace('"b"', '"a"'), twice)).toBe(false);
  expect(await sound("f.yaml", "a: 1\na: 2\nb: 1\n", "a: 1\na: 2\n")).toBe(true);
});

test("text that does not parse, or YAML that cannot be checked, is a conflict", async () => {
  for (const text of ["{", '{"a": 1,}', "[1] []"]) expect(await sound("f.json", text, "{}")).toBe(false);
  for (const text of ["a = ", "a = 1 b = 2", "= 1"]) expect(await sound("f.toml", text, "")).toBe(false);
  for (const text of [
    "a: {\n  b: 1 }",
    'a: "b\n  c"',
    "a: b\n  c",
    "? a\n: b",
    "a:\n\tb: 1",
    'a: ["b" c]',
    "a: ['b', 'c\\']d']",
    'a: [ " ]',
    'a: ["b"]c',
    'a: "\\q"',
    "%YAML 1.2\n---\n",
    "a:\n    b: 1\n  c: 2",
    `a: ${"x".repeat(20_000)}`,
    "a: |\n    b\n  c\n",
    "a: |\n    \n  b\n",
    "a: |\n  b\n\tc\n",
    "a: |2\n  b\n",
    "a: *b\n",
    "a: &b 1\n---\nc: *b\n",
    "a: &b 1\nc: &d *b\n",
    "a: !e!f 1\n",
    "a:\n  b:\n  c\n",
    "a:\n  b:\n\n    # c\n  $ d\ne: f\n",
    "a:\n  -\n  b: 1\n",
    "a: [*b]\n",
    "a: [&b 1]\n",
  ])
    expect(await sound("f.yaml", text, "")).toBe(false);
});

test("arbitrary JSON has no repeated key, and adding one is detected", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), (value, object) => {
      expect(repeatedJsonKeys(JSON.stringify(value, null, 1), new KeyPaths()).size).toBe(0);
      const [key = ""] = Object.keys(JSON.parse(JSON.stringify(object)) as object);
      const more = `[0, ${JSON.stringify(object).slice(0, -1)}, ${JSON.stringify(key)}: 1}]`;
      expect(repeatedJsonKeys(more, new KeyPaths()).size).toBe(1);
    }),
  );
});

test("a megabyte of nesting, of one key, or of one line is scanned once", () => {
  const MiB = 1 << 20;
  const deep = '{"a":'.repeat(MiB / 8) + "1" + "}".repeat(MiB / 8);
  expect(repeatedJsonKeys(deep, new KeyPaths()).size).toBe(0);
  expect(repeatedJsonKeys(`{${'"a":1,'.repeat(MiB / 8)}"a":1}`, new KeyPaths()).size).toBe(1);
  expect(repeatedYamlKeys("a: 1\n".repeat(MiB / 8), new KeyPaths())?.size).toBe(1);
  expect(repeatedYamlKeys("- ".repeat(MiB / 2), new KeyPaths())).toBeUndefined();
  expect(repeatedYamlKeys(`${"- ".repeat(4_000)}a: 1\n`.repeat(100), new KeyPaths())?.size).toBe(0);
});
