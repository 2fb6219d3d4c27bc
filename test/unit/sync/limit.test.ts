/** Transfers of a synced folder stop when the pass is aborted, also while they wait for a rate limit. */
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

test("a large file's transfer stops when the pass is aborted, also without a rate limit", async () => {
  const { world, a, b } = await twoFolders();
  const bytes = Array.from({ length: 2_000_000 }, (_, at) => `line ${at}`).join("\n");
  a.disk.write(path("large"), bytes);
  const once = () => {
    const ending = new AbortController();
    let moved = 0;
    const note = (count: number) => {
      moved += count;
      ending.abort();
    };
    return { signal: ending.signal, progress: { sent: note, received: note }, moved: () => moved };
  };
  const sending = once();
  await expect(a.sync(sending)).rejects.toThrow("abort");
  expect(sending.moved()).toBeLessThan(bytes.length);
  await a.sync();
  const receiving = once();
  await expect(b.sync(receiving)).rejects.toThrow("abort");
  expect(receiving.moved()).toBeLessThan(bytes.length);
  await settle(world);
  expect(b.disk.tree()).toEqual(a.disk.tree());
});
