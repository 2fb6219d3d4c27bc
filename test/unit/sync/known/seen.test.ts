/** Writes within one tick of a disk's clock, also of a disk that stores whole seconds: none stays unseen. */
import { expect, test } from "vitest";
import { path, settle, settledTree, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

const OLD_NS = 1_500_000_000_000_000_000n;

test.each(["published", "placed"])(
  "a file that was %s and is replaced in the same second by one of its size and mtime is seen, and not overwritten",
  async (how) => {
    const { world, a, b } = await twoFolders();
    a.disk.write(path("f.bin"), "0");
    await settle(world);
    const from = how === "published" ? a : b;
    await copyKeepingTime(from, "one");
    if (from === b) await b.sync();
    atWholeSecond(a);
    if (from === a) await copyKeepingTime(a, "one");
    {
      using _stopped = stopped(a);
      await a.sync();
      await copyKeepingTime(a, "two");
    }
    expect(a.disk.tree().get("f.bin")).toBe("two");
    for (const { disk } of [a, b]) disk.tick(3_100_000_000n);
    b.disk.write(path("f.bin"), "of b");
    await b.sync();
    await a.sync();
    expect([...(await settledTree(world)).values()].sort()).toEqual(["of b", "two"]);
  },
);

/** As `cp -p` from a file of this time. */
async function copyKeepingTime({ disk }: SyncedFolder, text: string): Promise<void> {
  disk.write(path("f.bin"), text);
  await disk.setModified(path("f.bin"), OLD_NS);
}

function atWholeSecond({ disk }: SyncedFolder): void {
  disk.tick(5_000_000_000n - (disk.nowNs() % 1_000_000_000n));
}

/** All that happens is in one second, as the disk stores times. */
function stopped({ disk }: SyncedFolder): Disposable {
  const { tick } = disk;
  disk.tick = () => {};
  return { [Symbol.dispose]: () => void (disk.tick = tick) };
}
