/** A state folder with files of two moments, as a copy of a running agent's or a partial restore leaves it. */
import { expect, test } from "vitest";
import type { SimulatedDisk } from "../../../src/simulate/disks/simulated-disk.ts";
import { treeOf } from "../../../src/simulate/judges/shown-tree.ts";
import { World } from "../../support/agents-world.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

function dropJournal(disk: SimulatedDisk): SimulatedDisk {
  for (const name of disk.list("journal")) disk.removeFile("journal", name);
  return disk;
}

async function textsOf({ mount }: SimulatedAgent): Promise<string[]> {
  const tree = [...(await treeOf(mount, ""))].filter(([, shown]) => shown.startsWith("100"));
  return Promise.all(tree.map(async ([path]) => String(await mount.readSome(path))));
}

/** Agent a, an image of its state with unpublished changes, and what it and others published since. */
async function older() {
  const world = await World.create();
  const [a, b] = world.agents;
  if (a === undefined || b === undefined) throw new Error("There are not two agents.");
  for (const each of ["edited", "removed", "same"]) await a.mount.create(each, Buffer.from(`first ${each}`));
  await a.mount.create("large", Buffer.from(LARGE));
  await a.vfs.checkpoint();
  const image = a.image();
  await a.flush();
  await a.mount.edit("edited", () => ({ offset: 0, bytes: Buffer.from("newer edited") }));
  await a.mount.unlink("removed");
  await a.mount.create("later", Buffer.from("made later"));
  await a.flush();
  await b.catchUp();
  await b.mount.create("removed", Buffer.from("of b"));
  await b.flush();
  await a.catchUp();
  await a.vfs.checkpoint();
  return { world, a, b, image };
}

/** Has a data file of its own. */
const LARGE = "a large file ".repeat(10_000);

const NEWEST = [LARGE, "newer edited", "made later", "of b", "first same"];

test("older tables with the journal that goes on from them lead to the newest state", async () => {
  const { world, a, image } = await older();
  await a.restartOn(a.image().withTables(image));
  expect(a.replaced).toBe(0);
  expect((await textsOf(a)).sort()).toEqual([...NEWEST].sort());
  expect((await world.faults()).filter((each) => !each.startsWith("misplaced"))).toEqual([]);
});

test.each(["data of then", "data of now"])(
  "older tables alone, with %s, reuse no epoch number, and take back nothing that was published since",
  async (data) => {
    const { world, a, b, image } = await older();
    await a.restartOn(dropJournal(data === "data of then" ? image : a.image().withTables(image)));
    await a.flush();
    await b.catchUp();
    expect(a.replaced).toBe(1);
    expect(await textsOf(b)).toEqual(expect.arrayContaining(NEWEST));
    expect((await world.faults()).filter((each) => !each.startsWith("misplaced"))).toEqual([]);
  },
);

test("older tables are refused if the journal begins after them", async () => {
  const fs = await VfsHarness.create({ segmentBytes: 2_048, frameBytes: 512 });
  await fs.make("first", "text");
  await fs.vfs.checkpoint();
  const image = fs.disk.afterKill();
  for (let index = 0; index < 100; index++) await fs.make(`file ${index}`, "text");
  await fs.vfs.checkpoint();
  for (let index = 100; index < 200; index++) await fs.make(`file ${index}`, "text");
  fs.vfs.persist();
  fs.disk = fs.disk.withTables(image);
  expect(() => fs.restart()).toThrow(expect.objectContaining({ code: "state_corrupt" }));
});

test("newer tables with an older journal give the state that the tables have", async () => {
  const fs = await VfsHarness.create();
  await fs.make("first", "text");
  const image = fs.disk.afterKill();
  await fs.make("second", "text");
  await fs.vfs.checkpoint();
  fs.disk = image.withTables(fs.disk);
  fs.restart();
  await fs.make("third", "text");
  expect((await fs.list("")).sort()).toEqual(["first", "second", "third"]);
});
