/** A folder's bytes a second: who waits for them can be told to end. */
import { expect, test } from "vitest";
import { RateLimit } from "../../../src/base/rate-limit.ts";
import { bucketTree, path, settle, twoFolders } from "../../support/sync-world.ts";
import { hurriedClock } from "../../support/test-bucket.ts";

/** A limit that is told to end as soon as somebody waits for it, and lets nobody go on else. */
function endingLimit() {
  const ending = new AbortController();
  const sleep = (_ms: number, signal?: AbortSignal) =>
    new Promise<void>((_, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
      queueMicrotask(() => ending.abort());
    });
  return { limit: new RateLimit({ ...hurriedClock, sleep }, [{ fromMinute: 0, bytesPerS: 1 }]), signal: ending.signal };
}

test.each([100, 100_000])(
  "transfers of %i-byte files that wait at the rate limit stop when the pass is aborted",
  async (size) => {
    const { world, a, b } = await twoFolders();
    for (const each of ["x", "y", "z"]) a.disk.write(path(each), each.repeat(size));
    await expect(a.sync(endingLimit())).rejects.toThrow("abort");
    expect((await bucketTree(world.bucket)).size).toBe(0);
    await a.sync();
    await expect(b.sync(endingLimit())).rejects.toThrow("abort");
    expect(b.disk.tree().size).toBe(0);
    await settle(world);
    expect(b.disk.tree()).toEqual(a.disk.tree());
    expect(await b.disk.list(path(".syncline/new"))).toEqual([]);
  },
);
