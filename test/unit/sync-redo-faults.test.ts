/** What can go wrong with the log of deeds in the folder: it is durable before it is believed, goes on behind what failed, and wedges nothing. */
import { describe, expect, test } from "vitest";
import { newPath } from "../../src/sync/paths.ts";
import { Crash } from "../support/memory-sync-disk.ts";
import { path, settle, type SyncedFolder, twoFolders } from "../support/sync-world.ts";

const LOG = newPath("redo");

async function killed(folder: SyncedFolder, change: number): Promise<boolean> {
  folder.disk.budget = change;
  try {
    await folder.sync();
    return false;
  } catch (error) {
    if (error instanceof Crash) return true;
    throw error;
  } finally {
    folder.disk.budget = undefined;
    folder.disk.tick(3_000_000_000n);
  }
}

async function logOf({ disk }: SyncedFolder): Promise<string> {
  if ((await disk.look(LOG)) === undefined) return "";
  const file = await disk.read(LOG);
  return Buffer.from(await file.read(0, (await file.stat()).size)).toString();
}

describe.each(["at a time", "one by one"] as const)("%s", (places) => {
  async function incoming(names: readonly string[]) {
    const { world, a, b } = await twoFolders();
    if (places === "one by one") b.disk.placeAll = undefined;
    a.disk.write(path("0"), "0");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    for (const each of names) a.disk.write(path(each), `new ${each}`);
    await a.sync();
    b.disk.tick(3_000_000_000n);
    return { world, a, b };
  }

  test("what the log tells is durable before the database has it", async () => {
    const { b } = await incoming(["f1", "f2", "f3", "f4", "f5", "f6"]);
    let change = 0;
    for (; !(await logOf(b)).match(/\.\n|\.$/); change++) await killed(b, 10 + change);
    const synced: string[] = [];
    const sync = b.disk.syncDirectory.bind(b.disk);
    b.disk.syncDirectory = async (at) => {
      synced.push(at.join("/"));
      await sync(at);
    };
    const first = b.db.transaction;
    let before: string[] | undefined;
    b.db.transaction = async (work, told) =>
      first(async () => {
        const result = await work();
        before ??= [...synced];
        return result;
      }, told);
    await b.sync();
    expect(before).toContain("");
  });
});
