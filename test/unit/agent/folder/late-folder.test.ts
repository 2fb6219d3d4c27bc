/** A folder beside a mount that an agent took over, while the folder cannot be opened. */
import { expect, test } from "vitest";
import type { FolderPart } from "../../../../src/agent/folder/agent-with-folder.ts";
import { LateFolder } from "../../../../src/agent/folder/late-folder.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

/** A folder that opens once `isBack`, and how often it was tried and ended. */
async function lateFolder(isBack = false) {
  const clock = new ManualClock();
  const seen = { isBack, tries: 0, ends: 0 };
  const ended = Promise.withResolvers<void>();
  const part = {
    status: async () => ({ root: "of the open folder" }),
    end: () => {
      seen.ends++;
      ended.resolve();
    },
    ended: ended.promise,
  };
  const open = async () => {
    seen.tries++;
    if (!seen.isBack) throw new SynclineError("precondition_failed", "The folder is missing.");
    return part as unknown as FolderPart;
  };
  const where = {
    folder: "/home/anna/work",
    address: "file:///bucket",
    pauseDir: await temporaryFolder(),
    cacheBytes: 1_000,
  };
  return { folder: new LateFolder({ ...where, open, clock, log: silentLog }), clock, seen };
}

test("status and flush tell why it is not synced, until it opens", async () => {
  const { folder, clock, seen } = await lateFolder();
  await clock.advance(0);
  const why = { code: "precondition_failed", message: "The folder is missing." };
  expect(await folder.status()).toMatchObject({
    doors: [{ door: "sync", folder: "/home/anna/work" }],
    lastError: why,
    cache: { bytes: 0, limit: 1_000 },
  });
  expect(await folder.flush()).toMatchObject({ published: false, error: why, pending: { isUncounted: true } });
  seen.isBack = true;
  await clock.advance(60_000);
  expect(await folder.status()).toMatchObject({ root: "of the open folder" });
  folder.end();
  await folder.ended;
  expect(seen.ends).toBe(1);
});

test("a pause is kept for when it opens, and can be ended before", async () => {
  const { folder, clock } = await lateFolder();
  await clock.advance(0);
  expect(await folder.pause()).toMatchObject({ until: null });
  expect((await folder.status()).paused).toMatchObject({ until: null });
  expect(await folder.resume()).toEqual({ wasPaused: true });
  expect((await folder.status()).paused).toBeNull();
  folder.end();
});

test("an unmount ends the tries, and says that the folder is not synced", async () => {
  const { folder, clock, seen } = await lateFolder();
  await clock.advance(0);
  expect(await folder.unmount()).toMatchObject({
    drained: false,
    folder: { folder: "/home/anna/work", error: { code: "precondition_failed" } },
  });
  await folder.ended;
  await clock.advance(60_000);
  expect([seen.tries, clock.count]).toEqual([1, 0]);
});

test("a folder that opens while the agent ends is ended", async () => {
  const { folder, seen } = await lateFolder(true);
  folder.end();
  await folder.ended;
  expect(seen).toMatchObject({ tries: 1, ends: 1 });
});
