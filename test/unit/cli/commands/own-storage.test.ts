/** Copies that would run into the folder in which their bucket is stored. */
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { CommandWorld } from "../../../support/command-world.ts";

/** A bucket in srv/bucket that has a file below objects/, as its own folder does. */
async function world() {
  const world = await CommandWorld.create();
  const run = world.run.bind(world);
  const at = (...names: string[]) => join(world.folder, ...names);
  const address = pathToFileURL(at("srv", "bucket")).href;
  for (const each of ["srv", "f/objects", "other"]) mkdirSync(at(each), { recursive: true });
  writeFileSync(at("f", "objects", "x"), "x");
  expect(await run("init", address)).toMatchObject({ status: 0 });
  expect(await run("put", "-r", `${at("f")}/.`, address)).toMatchObject({ status: 0, err: "" });
  const stored = () => readdirSync(at("srv"), { recursive: true }).toSorted();
  return { at, address, run, stored };
}

test("get never writes into the bucket's own folder, whatever path leads there", async () => {
  const { at, address, run, stored } = await world();
  const before = stored();
  symlinkSync(at("srv"), at("link"));
  symlinkSync(at("srv", "bucket"), at("other", "bucket"));
  const targets = [at("srv"), at("link"), at("srv", "bucket"), at("srv", "bucket", "new"), at("other", "bucket")];
  for (const target of targets) {
    const { status, err } = await run("get", "-r", address, target);
    expect({ target, status, ...JSON.parse(err) }).toMatchObject({ target, status: 4, code: "path_exists" });
  }
  expect(await run("get", `${address}/objects/x`, at("srv", "bucket", "x"))).toMatchObject({ status: 4 });
  expect(stored()).toEqual(before);
});

test("get never writes around the bucket's own folder", async () => {
  const { at, address, run } = await world();
  mkdirSync(at("deep", "bucket", "in"), { recursive: true });
  renameSync(at("srv", "bucket"), at("deep", "bucket", "in", "bucket"));
  const moved = address.replace("srv/bucket", "deep/bucket/in/bucket");
  expect(await run("get", "-r", moved, at("deep"))).toMatchObject({
    status: 4,
    err: expect.stringMatching(/contains/),
  });
  expect(await run("get", "-r", moved, at("deep", "beside"))).toMatchObject({ status: 0, err: "" });
});

test("put -r does not copy a bucket into itself", async () => {
  const { at, address, run } = await world();
  const [inside = ""] = readdirSync(at("srv", "bucket"), { withFileTypes: true }).flatMap((each) =>
    each.isDirectory() ? each.name : [],
  );
  for (const source of [at("srv"), `${at("srv")}/.`, at("srv", "bucket"), at("srv", "bucket", inside)])
    expect(await run("put", "-r", source, `${address}/copy`)).toMatchObject({ status: 2 });
  writeFileSync(at("other", "y"), "y");
  expect(await run("put", "-r", at("other"), `${address}/copy`)).toMatchObject({ status: 0, err: "" });
});
