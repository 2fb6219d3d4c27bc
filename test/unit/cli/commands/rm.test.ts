/** `syncline rm`: what it removes, and what it refuses. */
import { expect, test } from "vitest";
import { CommandWorld } from "../../../support/command-world.ts";

test("files and directories go in one commit, which restore undoes", async () => {
  const world = await CommandWorld.create("a", "b", "d/e/f", "d/g", "kept");
  const { address } = world;
  const [before] = (await world.done("log", address)).split("\n");
  const { root, removed } = JSON.parse(
    await world.done("rm", "-r", `${address}/a`, `${address}/d`, `${address}/b`),
  ) as { root: string; removed: number };
  expect([removed, await world.files()]).toEqual([6, { kept: "kept" }]);
  const [last, second] = (await world.done("log", address)).split("\n");
  expect(JSON.parse(last ?? "")).toMatchObject({ root, note: "rm a d b" });
  expect(second).toBe(before);
  const { root: older } = JSON.parse(before ?? "") as { root: string };
  await world.done("restore", `${address}/d`, "--at", older);
  expect(await world.files()).toEqual({ "d/e/f": "d/e/f", "d/g": "d/g", kept: "kept" });
});

test.each([
  ["a directory without -r", ["a", "d"], 1, "is_a_directory"],
  ["what is not there", ["a", "missing"], 1, "no_such_path"],
  ["a file that is spelled as a directory", ["-r", "a", "d/f/"], 1, "not_a_directory"],
  ["the root", ["-r", "a", ""], 2, "usage"],
])("%s is refused, and nothing is removed", async (_, args, status, code) => {
  const world = await CommandWorld.create("a", "d/f");
  const given = args.map((arg) => (arg === "-r" ? arg : `${world.address}/${arg}`));
  const { status: ended, err } = await world.run("rm", ...given);
  expect([ended, JSON.parse(err)]).toEqual([status, expect.objectContaining({ code })]);
  expect(await world.files()).toEqual({ a: "a", "d/f": "d/f" });
});

test.skipIf(process.platform === "win32")("a blank at the end and a backslash are parts of a name", async () => {
  const world = await CommandWorld.create("notes", "notes ", "a/b", "a\\b");
  await world.done("rm", `${world.address}/notes `, `${world.address}/a\\b`);
  expect(await world.files()).toEqual({ notes: "notes", "a/b": "a/b" });
});

test("paths in two buckets are refused", async () => {
  const world = await CommandWorld.create("a");
  await world.done("init", `${world.address}-2`);
  const { status, err } = await world.run("rm", `${world.address}/a`, `${world.address}-2/a`);
  expect([status, JSON.parse(err)]).toEqual([2, expect.objectContaining({ code: "usage" })]);
});
