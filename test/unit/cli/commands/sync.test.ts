/** `syncline sync`, for a folder that is not there. */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CommandWorld } from "../../../support/command-world.ts";

async function begin(...files: string[]) {
  const world = await CommandWorld.create(...files);
  const lines = async (...args: string[]) => (await world.done(...args)).trimEnd().split("\n");
  return { world, address: world.address, folder: join(world.folder, "folder"), lines };
}

test("a dry run for a missing folder shows what would come into it, and creates nothing but its state", async () => {
  const { world, address, folder, lines } = await begin("f");
  const [first = ""] = await lines("sync", address, folder, "--dry-run");
  expect(JSON.parse(first)).toMatchObject({ action: { where: "folder", what: "add", path: "f" } });
  expect(existsSync(folder)).toBe(false);
  const left = readdirSync(world.states, { recursive: true, encoding: "utf8" });
  expect(left.filter((path) => path.endsWith("empty"))).toEqual([]);
});

test("a synced folder that is missing deletes nothing, and ends with a status after which a service tries again", async () => {
  const { world, address, folder, lines } = await begin();
  mkdirSync(folder);
  writeFileSync(join(folder, "f"), "f");
  await lines("sync", address, folder, "--once");
  renameSync(folder, join(world.folder, "away"));
  const { status, err } = await world.run("sync", address, folder);
  expect({ status, ...JSON.parse(err) }).toMatchObject({ status: 1, code: "no_such_path" });
  expect(await lines("ls", address)).toEqual([expect.stringContaining('"name":"f"')]);
});
