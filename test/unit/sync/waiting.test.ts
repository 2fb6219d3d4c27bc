/** How old a folder's changes are that wait to be published. */
import { expect, test } from "vitest";
import type { Bucket } from "../../../src/bucket/bucket.ts";
import type { Waiting } from "../../../src/sync/waiting.ts";
import { path, settle, twoFolders } from "../../support/sync-world.ts";

test.each(["a", "d/b", "d"])(
  "a deletion of %s is as old as its directory's last change, in every scan",
  async (gone) => {
    const { world, a } = await twoFolders();
    a.disk.write(path("a"), "x");
    a.disk.make(path("d"));
    a.disk.write(path("d/b"), "x");
    await settle(world);
    a.disk.tick(3_000_000_000n);
    if (gone === "d") a.disk.remove(path("d/b"));
    a.disk.remove(path(gone));
    const found = await waitingOf(world.bucket, a);
    a.disk.tick(86_400_000_000_000n);
    const later = await waitingOf(world.bucket, a);
    expect(found?.sinceNs).toBeDefined();
    expect(later).toEqual(found);
  },
);

type Folder = Awaited<ReturnType<typeof twoFolders>>["a"];

async function waitingOf(online: Bucket, folder: Folder): Promise<Waiting | undefined> {
  let counted: Waiting | undefined;
  const waiting = (found: Waiting) => void (counted = found);
  const bucket: Bucket = Object.assign(Object.create(online), { head: () => Promise.reject(new Error("offline")) });
  await expect(folder.sync({ bucket, progress: { mayCount: () => true, waiting } })).rejects.toThrow("offline");
  return counted;
}
