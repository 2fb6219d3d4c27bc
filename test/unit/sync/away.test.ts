/** A synced folder that was away for so long that a collection took the versions which it knows. */
import { expect, test } from "vitest";
import { thin } from "../../../src/bucket/gc/thin.ts";
import { dropUnreached } from "../../support/drop-unreached.ts";
import { killed, pair, path, settle, settledTree, type SyncWorld, twoFolders } from "../../support/sync-world.ts";
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
      // The root that it stands on is not the last one of its minute.
      for (const text of ["soon", "sooner"]) {
        b.disk.tick(1_000_000_000n);
        b.disk.write(path("of b"), text);
        await b.sync();
      }
      await fourDays(world);
      const tree = await settledTree(world);
      for (const name of ["two", "three"]) expect([change, tree.get(name)]).toEqual([change, filled(`theirs ${name}`)]);
      expect([change, tree.get("mine"), tree.get("of b")]).toEqual([change, filled("mine"), "version 3"]);
    }
  },
);
