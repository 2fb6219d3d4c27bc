/** Commands say where others' concurrent moves have put what they changed. */
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import { Bucket } from "../../../../src/bucket/bucket.ts";
import { BucketWriter } from "../../../../src/bucket/writer.ts";
import { CommandWorld } from "../../../support/command-world.ts";

afterEach(() => vi.restoreAllMocks());

const FILES = ["d/a", "d/s/b", "g/c", "x"];

/** One more commit of others: of two changes that exclude each other, the one with more commits before it wins. */
const LATER = ["put", "./source", "/later"];

/**
 * What a command says, other than of conflicts, if others' commands come between its first look at the bucket and its
 * swap. Bucket paths begin with "/", local ones with "./".
 */
async function beaten(world: CommandWorld, ours: readonly string[], ...theirs: readonly (readonly string[])[]) {
  const given = (args: readonly string[]) =>
    args.map((arg) => arg.replace(/^\//, `${world.address}/`).replace(/^\.(?=\/)/, world.folder));
  const { publish } = BucketWriter.prototype;
  vi.spyOn(BucketWriter.prototype, "publish").mockImplementationOnce(async function (this: BucketWriter, ...args) {
    for (const each of theirs) await world.done(...given(each));
    return publish.apply(this, args);
  });
  const { status, out, err } = await world.run(...given(ours));
  expect(status, err).toBe(0);
  const lines = err.split("\n").filter((line) => line !== "");
  const notices = lines.map((line) => (JSON.parse(line) as { notice: string }).notice);
  return {
    value: JSON.parse(out) as Record<string, unknown>,
    notices: notices.filter((text) => !/^\d+ conflicts? with/.test(text)),
  };
}

test.each<[string, string[], string[], string[]]>([
  ["mv and their mv", ["mv", "/d", "/e"], ["mv", "/d", "/f"], ["d is now at f: others changed it meanwhile."]],
  [
    "mv into what they move",
    ["mv", "/x", "/d/x"],
    ["mv", "/d", "/f"],
    ["x is now at f/x: others changed it meanwhile."],
  ],
  [
    "mv into what they move into it",
    ["mv", "/d", "/g/"],
    ["mv", "/g", "/d/"],
    ["d stays: others changed it meanwhile."],
  ],
  [
    "mv over what they move",
    ["mv", "/x", "/d/a"],
    ["mv", "/d/a", "/y"],
    ["x is now at y: others changed it meanwhile."],
  ],
  ["rm of what they move", ["rm", "-r", "/d"], ["mv", "/d", "/f"], ["d is now at f: others changed it meanwhile."]],
  ["rm of a file that they move", ["rm", "/x"], ["mv", "/x", "/y"], ["x is now at y: others changed it meanwhile."]],
  ["mv beside a removal", ["mv", "/d", "/e"], ["rm", "-r", "/d"], []],
  ["mv beside an unrelated mv", ["mv", "/d", "/e"], ["mv", "/x", "/y"], []],
  ["rm beside an unrelated mv", ["rm", "-r", "/d"], ["mv", "/x", "/y"], []],
])("%s", async (_, ours, theirs, notices) => {
  const world = await CommandWorld.create(...FILES);
  expect(await beaten(world, ours, LATER, theirs)).toMatchObject({ notices });
});

test("mv and their mv in one commit, where ids of writers decide who wins", async () => {
  for (let attempt = 0; attempt < 6; attempt++) {
    const world = await CommandWorld.create("d/a");
    const { notices } = await beaten(world, ["mv", "/d", "/e"], ["mv", "/d", "/f"]);
    const isTheirs = "f/a" in (await world.files());
    expect(notices).toEqual(isTheirs ? ["d is now at f: others changed it meanwhile."] : []);
  }
});

test("restore of what others move", async () => {
  const world = await CommandWorld.create(...FILES);
  const [first = ""] = (await world.done("log", world.address)).split("\n");
  const { root } = JSON.parse(first) as { root: string };
  const { notices } = await beaten(world, ["restore", "/d", "--at", root], LATER, ["mv", "/d", "/f"]);
  expect([notices, Object.keys(await world.files()).includes("f/a")]).toEqual([
    ["d is now at f: others changed it meanwhile."],
    true,
  ]);
});

describe("conflicts resolve", () => {
  async function conflicted() {
    const world = await CommandWorld.create(...FILES);
    for (const name of ["ours", "theirs", "edit"]) writeFileSync(join(world.folder, name), name);
    await beaten(world, ["put", "./ours", "/x"], LATER, ["put", "./theirs", "/x"]);
    const copy = Object.keys(await world.files()).find((path) => path.includes("conflict")) ?? "";
    return { world, copy };
  }

  test("of a name that others move", async () => {
    const { world, copy } = await conflicted();
    const { notices, value } = await beaten(world, ["conflicts", "resolve", "/x", "--keep", "copy"], LATER, [
      "mv",
      "/x",
      "/y",
    ]);
    expect([notices, value["resolved"]]).toEqual([[`${copy} is now at y: others changed it meanwhile.`], []]);
    expect(await world.files()).toMatchObject({ y: "ours" });
  });

  test("of a version that others edit", async () => {
    const { world, copy } = await conflicted();
    const edit = ["put", "./edit", `/${encodeURI(copy)}`];
    const { notices, value } = await beaten(world, ["conflicts", "resolve", "/x", "--keep", "kept"], edit);
    expect([notices, value["resolved"]]).toEqual([[`${copy} stays: others changed it meanwhile.`], []]);
    expect(await world.files()).toMatchObject({ [copy]: "edit" });
  });
});

test("rm of one name of a file whose other name others move", async () => {
  const world = await CommandWorld.create(...FILES);
  const source = join(world.folder, "linked");
  mkdirSync(source);
  writeFileSync(join(source, "one"), "bytes");
  linkSync(join(source, "one"), join(source, "two"));
  await world.done("put", "-r", source, `${world.address}/`);
  expect(await beaten(world, ["rm", "/linked/one"], LATER, ["mv", "/linked", "/f"])).toMatchObject({ notices: [] });
});

test.each<[string, string[]]>([
  ["mv", ["mv", "/d", "/e"]],
  ["rm", ["rm", "-r", "/d"]],
])("%s is done once it is published, even if the bucket then goes away", async (_, ours) => {
  const world = await CommandWorld.create(...FILES);
  const { publish } = BucketWriter.prototype;
  const read = vi.spyOn(Bucket.prototype, "commit");
  vi.spyOn(BucketWriter.prototype, "publish").mockImplementationOnce(async function (this: BucketWriter, ...args) {
    const outcome = await publish.apply(this, args);
    read.mockRejectedValue(new SynclineError("store_unreachable", "The bucket went away."));
    return outcome;
  });
  const { status, err } = await world.run(...ours.map((arg) => arg.replace(/^\//, `${world.address}/`)));
  expect([status, err]).toEqual([0, ""]);
  vi.restoreAllMocks();
  expect(Object.keys(await world.files())).not.toContain("d/a");
});
