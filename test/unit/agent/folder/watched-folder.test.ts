/** A watched folder that ends while its bucket is away. */
import { expect, test } from "vitest";
import { SyncLoop } from "../../../../src/agent/folder/sync-loop.ts";
import { WatchedFolder } from "../../../../src/agent/folder/watched-folder.ts";
import { Pause } from "../../../../src/agent/state/pause.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { folderFacts } from "../../../support/folder-facts.ts";

async function folderWithoutBucket(clock: ManualClock): Promise<WatchedFolder> {
  const ports = { clock, log: silentLog };
  const loop = new SyncLoop({
    once: async () => {
      throw new SynclineError("store_unreachable", "It is away.");
    },
    watchFolder: () => ({
      failure: undefined,
      rest: () => {},
      resume: () => {},
      [Symbol.asyncDispose]: async () => {},
    }),
    watchBucket: () => ({ [Symbol.dispose]: () => {} }),
    isBehind: async () => true,
    scanMs: () => 0,
    heard: () => {},
    failed: () => {},
    isPaused: () => false,
    ...ports,
  });
  const facts = folderFacts();
  const pause = new Pause({ stateDir: await temporaryFolder(), changed: () => {}, ...ports });
  return new WatchedFolder({ loop, facts, pause, stop: () => {}, drainMs: 60_000, clock });
}

test("an unmount that waits less than an earlier one ends both", async () => {
  const clock = new ManualClock();
  const folder = await folderWithoutBucket(clock);
  const away = { drained: false, error: { code: "store_unreachable" }, folder: { folder: "/synced" } };
  const patient = folder.unmount(3_600_000);
  await clock.advance(10_000);
  const hasty = folder.unmount(1_000);
  await clock.advance(1_000);
  await folder.ended;
  expect(await hasty).toMatchObject(away);
  expect(await patient).toMatchObject(away);
  expect(await folder.unmount()).toMatchObject(away);
});
