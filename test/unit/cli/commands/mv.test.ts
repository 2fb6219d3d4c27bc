/** `syncline mv`: where a path goes, and what it refuses. */
import { expect, test } from "vitest";
import { CommandWorld } from "../../../support/command-world.ts";

const FILES = ["a", "b", "d/f", "e/f"];

test.each([
  ["a new name", "a", "c", { b: "b", c: "a", "d/f": "d/f", "e/f": "e/f" }],
  ["a directory", "a", "d", { b: "b", "d/a": "a", "d/f": "d/f", "e/f": "e/f" }],
  ["the root", "d/f", "", { a: "a", b: "b", f: "d/f", "e/f": "e/f" }],
  ["the name of a file", "a", "b", { b: "a", "d/f": "d/f", "e/f": "e/f" }],
  ["the name of a file in a directory", "d/f", "e/", { a: "a", b: "b", "e/f": "d/f" }],
  ["a directory into another", "d", "e/", { a: "a", b: "b", "e/d/f": "d/f", "e/f": "e/f" }],
])("%s", async (_, from, to, left) => {
  const world = await CommandWorld.create(...FILES);
  await world.done("mv", `${world.address}/${from}`, `${world.address}/${to}`);
  expect(await world.files()).toEqual(left);
});

test.each([
  ["what is not there", "missing", "c", 1, "no_such_path"],
  ["a directory that is not there", "a", "c/", 1, "no_such_path"],
  ["a file as a directory", "a", "b/", 1, "not_a_directory"],
  ["a directory over a file", "d", "b", 1, "not_a_directory"],
  ["a file below a file", "a", "b/a", 1, "not_a_directory"],
  ["a directory below a file", "d", "b/x", 1, "not_a_directory"],
  ["a file far below a file", "a", "d/f/x/y", 1, "no_such_path"],
  ["into itself", "d", "d/f/g", 2, "usage"],
  ["to itself", "a", "a", 2, "usage"],
  ["the root", "", "d", 2, "usage"],
])("%s is refused, and nothing moves", async (_, from, to, status, code) => {
  const world = await CommandWorld.create(...FILES);
  const { status: ended, err } = await world.run("mv", `${world.address}/${from}`, `${world.address}/${to}`);
  expect([ended, JSON.parse(err)]).toEqual([status, expect.objectContaining({ code })]);
  expect(await world.files()).toEqual(Object.fromEntries(FILES.map((path) => [path, path])));
});

test("the error names the directory that is not there", async () => {
  const world = await CommandWorld.create("a");
  const { err } = await world.run("mv", `${world.address}/a`, `${world.address}/new/`);
  expect(JSON.parse(err).message).toContain("There is no /new in");
});

test("no directory is replaced", async () => {
  const world = await CommandWorld.create("f/a", "d/f/b");
  const { status, err } = await world.run("mv", `${world.address}/f`, `${world.address}/d`);
  expect([status, JSON.parse(err)]).toEqual([1, expect.objectContaining({ code: "is_a_directory" })]);
});
