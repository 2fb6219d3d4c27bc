/** `syncline simulate --scenarios`: worked merges through overlays, builds and the merge of an agent. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import type { Scenario } from "../../../../src/simulate/scenarios/scenario.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

interface Report {
  readonly scenarios: readonly { name: string; ok: boolean; got: Record<string, string>; conflicts: number }[];
}

const vectors = resolve(import.meta.dirname, "../../../vectors");

describe("all worked merges end as expected", () => {
  test.each(["merge-scenarios.json", "merge-edges.json"])("%s", async (file) => {
    const path = join(vectors, file);
    const { status, out } = await run("--scenarios", path, "--json");
    const { scenarios } = JSON.parse(out) as Report;
    expect(scenarios.filter(({ ok }) => !ok)).toEqual([]);
    expect(scenarios.map(({ name }) => name)).toEqual(scenariosIn(path).map(({ name }) => name));
    expect(status).toBe(0);
  });
});

test("a scenario reports its result as contents, directories and symlinks", async () => {
  const { out } = await run("--scenarios", await fileWith(EDITED), "--json");
  expect(JSON.parse(out)).toEqual({
    scenarios: [
      {
        name: "both edit",
        ok: true,
        got: { "f (conflict 3ae7d805).bin": "x", "f.bin": "y", d: "dir", l: "-> f.bin" },
        conflicts: 1,
      },
    ],
  });
});

test("a scenario with another result exits with 1 and shows the differences", async () => {
  const expected = { paths: { ...EDITED.expect.paths, "f.bin": "x", gone: "g" }, conflicts: 0 };
  const { status, out } = await run("--scenarios", await fileWith({ ...EDITED, expect: expected }));
  expect(status).toBe(1);
  expect(out.split("\n")).toEqual([
    "WRONG both edit",
    '      f.bin: "y", expected "x"',
    '      gone: nothing, expected "g"',
    "      1 conflicts, expected 0",
    "1 scenario, 1 not as expected",
    "",
  ]);
});

test("a long file of scenarios takes no more memory than a short one", async () => {
  const scenarios = Array.from({ length: 60 }, () => EDITED);
  const before = process.memoryUsage().arrayBuffers;
  expect((await run("--scenarios", await fileWith(...scenarios))).status).toBe(0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 1024 * 1024);
});

test.each([
  ["no list of scenarios", "{}", 'it has no list "scenarios"'],
  ["invalid JSON", "{", "is not JSON"],
  ["an unknown operation", '{"scenarios":[{"name":"n","base":[{"op":"fly"}]}]}', "base[0]"],
  ["an operation without a path", '{"scenarios":[{"name":"n","base":[],"x":[{"op":"mkdir"}]}]}', "x[0]"],
  ["no expectation", '{"scenarios":[{"name":"n","base":[],"x":[],"y":[]}]}', '"expect"'],
])("a file with %s is refused with the reason", async (_, text, why) => {
  const path = join(await temporaryFolder(), "scenarios.json");
  writeFileSync(path, text);
  const { status, err } = await run("--scenarios", path);
  expect(status).toBe(2);
  expect(err).toContain(why);
});

test("without a file, simulate plays a history and reports the number of histories and the injected faults", async () => {
  const { status, out } = await run("--seed", "3", "--seconds", "0", "--json");
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    seed: 3,
    histories: 1,
    failure: null,
    faults: { partition: expect.any(Number) },
  });
  expect((await run("--seed", "3", "--seconds", "soon")).status).toBe(2);
});

const EDITED: Scenario = {
  name: "both edit",
  base: [
    { op: "write", path: "f.bin", content: "base" },
    { op: "mkdir", path: "d" },
    { op: "symlink", path: "l", target: "f.bin" },
  ],
  x: [{ op: "write", path: "f.bin", content: "x" }],
  y: [
    { op: "write", path: "f.bin", content: "y" },
    { op: "rmdir", path: "no/such/directory" },
  ],
  expect: { paths: { "f.bin": "y", "<conflict:f:.bin:x>": "x", d: "dir", l: "-> f.bin" }, conflicts: 1 },
};

async function run(...args: string[]) {
  const runtime = createFakeRuntime({});
  const status = await runCommandLine(["simulate", ...args], runtime, await commandsFor(["simulate"]), "1.2.3");
  return { status, out: runtime.out(), err: runtime.err() };
}

async function fileWith(...scenarios: readonly Scenario[]): Promise<string> {
  const path = join(await temporaryFolder(), "scenarios.json");
  writeFileSync(path, JSON.stringify({ scenarios }));
  return path;
}

function scenariosIn(path: string): Scenario[] {
  return (JSON.parse(readFileSync(path, "utf8")) as { scenarios: Scenario[] }).scenarios;
}
