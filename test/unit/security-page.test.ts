/** docs/design/security.md names tests and drills for what it says holds: they are there, under these names. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/design/security.md"), "utf8");

test("every test that the page names exists", () => {
  const claims = [...page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`((?: "[^"]+",?)*)/g)].flatMap(
    ([, file = "", titles = ""]) => [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })),
  );
  expect(claims.length).toBeGreaterThan(30);
  expect(claims.filter(({ file, title }) => !readFileSync(join(root, file), "utf8").includes(title))).toEqual([]);
});

test("every drill that the page names exists", () => {
  const drills = [...page.matchAll(/drill `([\w-]+\.ts)`/g)].map(([, name = ""]) => name);
  expect(drills.length).toBeGreaterThan(0);
  expect(drills.filter((name) => !existsSync(join(root, "scripts/drills", name)))).toEqual([]);
});

test("every row of the page names the test or drill that shows it", () => {
  const rows = page.split("\n").filter((line) => line.includes(" | ") && line !== "claim | shown by");
  expect(rows.length).toBeGreaterThan(30);
  expect(rows.filter((row) => !/`test\/|drill `/.test(row))).toEqual([]);
});
