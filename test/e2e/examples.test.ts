/** The examples run, import the library's entry points only, and fit their types. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../..");
const example = join(root, "examples/merge-two-trees/main.mjs");

test("the library alone merges two trees of files", async () => {
  const { stdout } = await run(process.execPath, [example], { cwd: root });
  expect(stdout.split("\n")).toEqual([
    "new: directory",
    'new/of-ann.txt: "hello\\n"',
    'notes.txt: "A\\nb\\nC\\n"',
    expect.stringMatching(/^photo \(conflict [0-9a-f]{8}\)\.raw: "Ann's"$/),
    'photo.raw: "Bob\'s"',
    expect.stringMatching(/^copy \(content \/ content\): photo \(conflict [0-9a-f]{8}\)\.raw beside photo\.raw$/),
    "the other order: the same tree",
    "apples 7",
    "pears 1",
    "plums 9",
    "",
  ]);
});

test("the example imports only syncline/bucket and syncline/tree", () => {
  const imports = [...readFileSync(example, "utf8").matchAll(/from "([^"]+)"/g)].map((match) => match[1]);
  expect(imports.sort()).toEqual(["syncline/bucket", "syncline/tree"]);
});

test("the example type-checks against the build", async () => {
  const flags =
    "--ignoreConfig --noEmit --allowJs --checkJs --strict --target es2023 --module nodenext --types node".split(" ");
  const tsc = join(root, "node_modules/.bin/tsc");
  const { stdout } = await run(tsc, [...flags, example], { cwd: root }).catch((error: { stdout: string }) => error);
  expect(stdout).toBe("");
});
