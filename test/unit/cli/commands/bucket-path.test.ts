/** Addresses of paths inside a bucket. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { register } from "../../../../src/cli/commands/gc.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { CommandWorld } from "../../../support/command-world.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";

test("a wrong address is quoted as it was typed, and the hint says where a path belongs", async () => {
  const typed = "s3://photos/notes?region=eu-central-1/a.txt";
  const runtime = createFakeRuntime({});
  expect(await runCommandLine(["gc", typed], runtime, [register], "1.2.3")).toBe(2);
  expect(runtime.err()).toContain(`${JSON.stringify(typed)} has an invalid region.`);
  expect(runtime.err()).toContain("a path precedes the question mark");
});

test("a path in a bucket may be longer than any path on the disk", async () => {
  const world = await CommandWorld.create("source");
  const deep = Array.from({ length: 30 }, (_, index) => `${index}`.padEnd(200, "d")).join("/");
  const at = (path: string) => `${world.address}/${path}`;
  await world.done("put", join(world.folder, "source"), at(`${deep}/a`));
  await world.done("mv", at(`${deep}/a`), at(`${deep}/b`));
  expect(JSON.parse(await world.done("ls", at(`${deep}/b`)))).toMatchObject({ type: "file", size: "source".length });
  await world.done("get", at(`${deep}/b`), join(world.folder, "got"));
  expect(readFileSync(join(world.folder, "got"), "utf8")).toBe("source");
  await world.done("rm", at(`${deep}/b`));
  const gone = await world.run("cat", at(`${deep}/b`));
  expect(JSON.parse(gone.err)).toMatchObject({ code: "no_such_path" });
});

test.each(["n".repeat(256), "x%00y", "%00"])("a name that no bucket can have is refused as such: %s", async (given) => {
  const world = await CommandWorld.create("source");
  const { status, err } = await world.run("put", join(world.folder, "source"), `${world.address}/${given}`);
  expect([status, JSON.parse(err)]).toEqual([2, expect.objectContaining({ code: "name_invalid" })]);
});
