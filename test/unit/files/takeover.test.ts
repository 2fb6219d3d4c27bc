/** Replacing a folder by another: what others saved in the old one meanwhile is not lost with it. */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import type { FileName } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { silentLog } from "../../../src/base/log.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import { Access } from "../../../src/files/access.ts";
import { OpenInodes } from "../../../src/files/open-inodes.ts";
import { nameBeside } from "../../../src/files/put-back.ts";
import { lookUpPath } from "../../../src/files/resolved-path.ts";
import { Takeover, type TakeoverPorts } from "../../../src/files/takeover.ts";
import { UnfinishedWork } from "../../../src/files/unfinished.ts";
import { treeOf } from "../../../src/simulate/judges/shown-tree.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { World } from "../../support/agents-world.ts";
import { MemoryUnfinishedStore } from "../../support/dav-server.ts";
import type { SimulatedAgent } from "../../support/simulated-agent.ts";

const FILES = ["old/edited", "old/left", "old/in/deep/edited", "old/in/left", "new/f"];

async function shared() {
  const world = await World.create();
  const [a, b] = world.agents;
  if (a === undefined || b === undefined) throw new Error("There are not two agents.");
  for (const each of ["old", "old/in", "old/in/deep", "new"]) await a.mount.makeDirectory(each);
  for (const each of FILES) await a.mount.create(each, Buffer.from(each));
  await a.flush();
  await b.catchUp();
  return { world, a, b, store: new MemoryUnfinishedStore() };
}

function portsOf({ vfs }: SimulatedAgent, store: MemoryUnfinishedStore): TakeoverPorts {
  const access = new Access(vfs, new OpenInodes(vfs, silentLog), new AbortController().signal);
  return { access, unfinished: new UnfinishedWork(store), clock: systemClock, random: systemRandom, log: silentLog };
}

/** Moves "new" over "old", which is not removed yet. */
async function takenOver(ports: TakeoverPorts): Promise<Takeover> {
  const takeover = new Takeover(ports);
  const [from, to] = ["new", "old"] as FileName[] as [FileName, FileName];
  await takeover.change((fs) => {
    const [moving, target] = [lookUpPath(fs, [from], "itself"), lookUpPath(fs, [to], "itself")];
    if (moving?.attributes === undefined || target === undefined) throw new Error("A folder is missing.");
    takeover.run(fs, { parent: ROOT_INO, name: from }, moving.attributes, { ...target, name: to });
  });
  return takeover;
}

/** What `b` changes before it hears of the move. */
async function savedBy({ mount }: SimulatedAgent): Promise<void> {
  for (const each of ["old/edited", "old/in/deep/edited"])
    await mount.edit(each, () => ({ offset: 0, bytes: Buffer.from(`of b: ${each}`) }));
  await mount.makeDirectory("old/made");
  await mount.create("old/made/f", Buffer.from("made by b"));
  await mount.rename("old/left", "old/renamed");
}

async function shownBy({ mount }: SimulatedAgent): Promise<Record<string, string>> {
  const tree = [...(await treeOf(mount, ""))].filter(([each]) => /^(old|new|\.)/.test(each));
  const paths = tree.flatMap(([each, shown]) => (shown.startsWith("100") ? [each] : []));
  const files = paths.map(async (each) => [each, String(await mount.readSome(each))] as const);
  return Object.fromEntries(await Promise.all(files));
}

const NEW = { "old/f": "new/f" };
const KEPT = {
  "old (replaced)/edited": "of b: old/edited",
  "old (replaced)/in/deep/edited": "of b: old/in/deep/edited",
  "old (replaced)/made/f": "made by b",
  "old (replaced)/renamed": "old/left",
};

/** `b` saves something after the move was published and before the old folder is removed. */
async function savedMeanwhile(isKilled: boolean): Promise<Record<string, string>> {
  const { world, a, b, store } = await shared();
  const takeover = await takenOver(portsOf(a, store));
  await a.flush();
  await savedBy(b);
  await b.flush();
  await a.catchUp();
  await (isKilled ? a.restart() : takeover.clear());
  await a.flush();
  await b.catchUp();
  const shown = await shownBy(b);
  // The door works without the views that tell the mount.
  a.mount.dropCaches();
  expect((await world.faults()).filter((each) => !each.startsWith("misplaced"))).toEqual([]);
  return shown;
}

test("what others saved in a replaced folder while it is removed is kept beside it, and only that", async () => {
  expect(await savedMeanwhile(false)).toEqual({ ...NEW, ...KEPT });
});

test("a replaced folder is kept beside the new one if the agent was killed", async () => {
  const left = { "old (replaced)/in/left": "old/in/left" };
  expect(await savedMeanwhile(true)).toEqual({ ...NEW, ...KEPT, ...left });
});

test.each([
  ["", () => {}],
  [", even if the agent is killed then", (a: SimulatedAgent) => a.restart()],
])("what others saved in a replaced folder until they heard of its removal is seen%s", async (_when, happens) => {
  const { a, b, store } = await shared();
  const takeover = await takenOver(portsOf(a, store));
  await a.flush();
  await b.catchUp();
  await b.mount.create("old (replaced)/made", Buffer.from("made by b"));
  await takeover.clear();
  await happens(a);
  await b.flush();
  await a.flush();
  await b.catchUp();
  expect(await shownBy(a)).toEqual({ ...NEW, "old (replaced)/made": "made by b" });
  expect(await shownBy(b)).toEqual(await shownBy(a));
});

test("a replaced folder that others left alone is removed", async () => {
  const { a, b, store } = await shared();
  const takeover = await takenOver(portsOf(a, store));
  await b.mount.create("elsewhere", Buffer.from("of b"));
  await b.flush();
  await a.flush();
  await a.catchUp();
  await takeover.clear();
  await a.flush();
  await b.catchUp();
  expect(await shownBy(b)).toEqual(NEW);
});

test("a folder that could not be replaced keeps its name", async () => {
  const { a, store } = await shared();
  const ports = portsOf(a, store);
  let renames = 0;
  const refusing = overriding(a.vfs, {
    rename(...parts) {
      if (++renames === 2) throw new BlockMiss([]);
      a.vfs.rename(...parts);
    },
    load: () => Promise.reject(new Error("the bucket cannot be reached")),
  });
  const access = new Access(refusing, new OpenInodes(refusing, silentLog), new AbortController().signal);
  await expect(takenOver({ ...ports, access })).rejects.toThrow("cannot be reached");
  expect(Object.keys(await shownBy(a)).sort()).toEqual([...FILES].sort());
});

test("the name for a replaced folder is free, and not too long", async () => {
  const { a, store } = await shared();
  const { access } = portsOf(a, store);
  const long = "ä".repeat(127);
  const names = [`${"ä".repeat(122)} (replaced)`, `${"ä".repeat(121)} (replaced 2)`];
  for (const name of names) {
    expect(await access.run((fs) => nameBeside(fs, ROOT_INO, nameFromText(long)))).toBe(nameFromText(name));
    await a.mount.makeDirectory(name);
  }
});
