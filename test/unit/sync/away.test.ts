/** A synced folder that was away for so long that a collection took the versions which it knows. */
import { describe, expect, test } from "vitest";
import { thin } from "../../../src/bucket/gc/thin.ts";
import { dropUnreached } from "../../support/drop-unreached.ts";
import {
  dyingAfterSwap,
  killed,
  pair,
  path,
  settle,
  settledTree,
  type SyncedFolder,
  type SyncWorld,
  twoFolders,
} from "../../support/sync-world.ts";
import { hurriedClock, newWriter, openBucket, seededStream } from "../../support/test-bucket.ts";

const DAY_NS = 86_400_000_000_000n;
/** Too long to stand in a row. */
const filled = (text: string) => `${text}\n`.repeat(200);

async function collect({ remote }: SyncWorld, nowNs: bigint): Promise<void> {
  const bucket = await openBucket(remote);
  const { writer } = await newWriter(bucket, 999, seededStream(999));
  const clock = { ...hurriedClock, nowNs: () => nowNs };
  const report = await thin({ bucket, writer, clock, random: seededStream(5), dryRun: false });
  expect(report.commits.after).toBeLessThan(report.commits.before);
  await dropUnreached(remote);
}

/** The second folder is in use, the first one away; then a collection takes what is not retained. */
async function fourDays(world: SyncWorld): Promise<void> {
  const [a, b] = pair(world);
  for (let day = 0; day < 4; day++) {
    b.disk.tick(DAY_NS);
    b.disk.write(path("of b"), `version ${day}`);
    await b.sync();
  }
  await collect(world, b.disk.nowNs() + 400n * DAY_NS);
  a.disk.tick(5n * DAY_NS);
}

/** First others publish twice: the last root of a minute would be retained, and the first folder's must not be. */
async function soonAndFourDays(world: SyncWorld): Promise<void> {
  const [, b] = pair(world);
  for (const text of ["soon", "sooner"]) {
    b.disk.tick(1_000_000_000n);
    b.disk.write(path("of b"), text);
    await b.sync();
  }
  await fourDays(world);
}

test("a folder that was away through a collection publishes all its renames and edits, even of files that others changed or removed", async () => {
  const { world, a, b } = await twoFolders();
  const names = ["renamed", "renamed-removed", "mode-removed", "appended", "removed", "untouched-removed"];
  for (const name of names) b.disk.write(path(name), filled(`old ${name}`));
  await settle(world);
  for (const each of [a, b]) each.disk.tick(3_000_000_000n);
  a.disk.move(path("renamed"), path("renamed here"));
  a.disk.move(path("renamed-removed"), path("kept"));
  a.disk.chmod(path("mode-removed"), 0o600);
  a.disk.write(path("appended"), `${filled("old appended")}away`);
  a.disk.remove(path("removed"));
  for (const name of names)
    if (name.endsWith("-removed")) b.disk.remove(path(name));
    else b.disk.write(path(name), filled(`theirs ${name}`));
  await b.sync();
  await fourDays(world);
  await a.sync();
  const tree = await settledTree(world);
  const named = [...tree].map(([name, text]) => [name.replace(/conflict [0-9a-f]+/, "conflict"), text] as const);
  expect(Object.fromEntries(named)).toEqual({
    "renamed here": filled("theirs renamed"),
    kept: filled("old renamed-removed"),
    appended: filled("theirs appended"),
    "appended (conflict)": `${filled("old appended")}away`,
    removed: filled("theirs removed"),
    "of b": "version 3",
  });
});

test.each(["comes", "goes"])(
  "a folder that was away through a collection loses nothing if its process had died as something %s",
  async (what) => {
    for (let change = 1, died = true; died; change++) {
      const { world, a, b } = await twoFolders();
      for (const name of ["one", "two"]) b.disk.write(path(name), filled(`old ${name}`));
      await settle(world);
      for (const each of [a, b]) each.disk.tick(3_000_000_000n);
      for (const name of ["two", "three"]) b.disk.write(path(name), filled(`theirs ${name}`));
      b.disk.remove(path("one"));
      if (what === "comes") await b.sync();
      a.disk.write(path("mine"), filled("mine"));
      died = await killed(a, change);
      await soonAndFourDays(world);
      const tree = await settledTree(world);
      for (const name of ["two", "three"]) expect([change, tree.get(name)]).toEqual([change, filled(`theirs ${name}`)]);
      expect([change, tree.get("mine"), tree.get("of b")]).toEqual([change, filled("mine"), "version 3"]);
    }
  },
);

describe("a folder whose process died behind its swap, and that was away through a collection,", () => {
  /** One folder publishes changes of all kinds and dies; the other one then changes all of that. */
  async function replaced(since: (folder: SyncedFolder) => void = () => {}) {
    const { world, a, b } = await twoFolders();
    for (const name of ["edited", "removed", "moved", "original", "mode", "linked", "saved"])
      b.disk.write(path(name), filled(`old ${name}`));
    await settle(world);
    for (const each of [a, b]) each.disk.tick(3_000_000_000n);
    a.disk.write(path("edited"), filled("edited by a"));
    a.disk.move(path("saved"), path("saved~"));
    a.disk.write(path("saved"), filled("saved by a"));
    a.disk.remove(path("removed"));
    a.disk.move(path("moved"), path("moved by a"));
    a.disk.move(path("original"), path("renamed"));
    a.disk.chmod(path("mode"), 0o600);
    await a.disk.link(path("linked"), path("link"));
    a.disk.make(path("made"));
    for (const name of ["new", "new-edited", "new-moved", "made/f"]) a.disk.write(path(name), filled(`${name} by a`));
    a.disk.tick(3_000_000_000n);
    await dyingAfterSwap(a);
    a.disk.tick(3_000_000_000n);
    since(a);
    await b.sync();
    b.disk.tick(3_000_000_000n);
    b.disk.write(path("edited"), filled("edited by b"));
    b.disk.write(path("saved"), filled("saved by b"));
    b.disk.remove(path("moved by a"));
    b.disk.write(path("mode"), filled("mode by b"));
    b.disk.write(path("linked"), filled("linked by b"));
    b.disk.write(path("renamed"), filled("renamed by b"));
    b.disk.remove(path("new"));
    b.disk.write(path("new-edited"), filled("new-edited by b"));
    b.disk.move(path("new-moved"), path("elsewhere"));
    b.disk.remove(path("made/f"));
    b.disk.remove(path("made"));
    for (const text of ["soon", "sooner"]) {
      b.disk.write(path("of b"), text);
      await b.sync();
      b.disk.tick(1_000_000_000n);
    }
    await fourDays(world);
    return { world, a, b };
  }

  const NOW = {
    edited: "edited by b",
    saved: "saved by b",
    "saved~": "old saved",
    mode: "mode by b",
    "new-edited": "new-edited by b",
    elsewhere: "new-moved by a",
    linked: "linked by b",
    link: "linked by b",
    renamed: "renamed by b",
    "of b": "version 3",
  };

  async function shown(world: SyncWorld): Promise<Record<string, string>> {
    const tree = await settledTree(world);
    return Object.fromEntries([...tree].map(([name, text]) => [name, text.split("\n")[0] ?? ""]));
  }

  test("brings nothing back", async () => {
    const { world } = await replaced();
    expect(await shown(world)).toEqual(NOW);
  });

  test("publishes what was changed there since", async () => {
    const { world } = await replaced(({ disk }) => {
      disk.write(path("new"), filled("new, again"));
      disk.write(path("saved"), filled("saved again"));
      disk.write(path("later"), filled("later"));
      disk.write(path("made/g"), filled("made/g"));
      disk.remove(path("renamed"));
      disk.remove(path("new-edited"));
    });
    const kept = { new: "new, again", later: "later", made: "dir", "made/g": "made/g" };
    const copy = { "saved (conflict 00589be7)": "saved again" };
    expect(await shown(world)).toEqual({ ...NOW, ...kept, ...copy });
  });
});

test("a folder that was away through a collection, with rules, publishes what was removed in a subdirectory", async () => {
  const { world, a, b } = await twoFolders();
  b.disk.write(path(".synclineignore"), "ignored\n");
  b.disk.make(path("sub"));
  for (const name of ["sub/removed", "sub/stays"]) b.disk.write(path(name), filled(name));
  await settle(world);
  for (const { disk } of [a, b]) disk.tick(3_000_000_000n);
  a.disk.remove(path("sub/removed"));
  b.disk.write(path("sub/stays"), filled("theirs"));
  await soonAndFourDays(world);
  const tree = await settledTree(world);
  expect([tree.has("sub/removed"), tree.get("sub/stays")]).toEqual([false, filled("theirs")]);
});
