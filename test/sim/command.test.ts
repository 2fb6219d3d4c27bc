/** `syncline simulate` as people run it. */
import { once } from "node:events";
import { afterAll, expect, test } from "vitest";
import { collect, Workspace } from "../support/syncline.ts";

const workspace = new Workspace("simulate");
afterAll(() => workspace[Symbol.dispose]());

test("one thread and three threads play the same histories, byte for byte", () => {
  const [one, three] = ["1", "3"].map((jobs) =>
    workspace.json("simulate", "--histories", "12", "--seed", "7", "--jobs", jobs),
  );
  expect(one).toMatchObject({ seed: 7, histories: 12, interrupted: false, failure: null });
  expect(three?.["faults"]).toEqual(one?.["faults"]);
  expect(three?.["digest"]).toBe(one?.["digest"]);
}, 900_000);

test("an interrupt reports what was played, with the count of every fault", async () => {
  const child = workspace.start(["simulate", "--histories", "1000000", "--seed", "1", "--jobs", "2", "--json"]);
  const ended = collect(child);
  const [said] = (await once(child.stderr ?? child, "data")) as [Buffer];
  expect(said.toString()).toMatch(/"notice":"\d+ of 1000000 histories, [\d.]+ a second, \d+ faults\. .* left\."/);
  child.kill("SIGINT");
  const { signal, out } = await ended;
  expect(signal).toBe("SIGINT");
  const report = JSON.parse(out) as { histories: number; interrupted: boolean; faults: Record<string, number> };
  expect(report.interrupted).toBe(true);
  expect(report.histories).toBeGreaterThan(0);
  expect(report.faults["request lost"]).toBeGreaterThan(0);
}, 900_000);
