/** Resetting a state, also where the process dies meanwhile. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { CONNECTION } from "../../../../src/agent/state/connection.ts";
import { LAST_BASE } from "../../../../src/agent/state/last-base.ts";
import { rootFile } from "../../../../src/agent/state/root-file.ts";
import { GENESIS, startOver } from "../../../../src/agent/state/start-over.ts";
import { collectorDirOf } from "../../../../src/agent/state/state-dir.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openPacked } from "../../../../src/bucket/open-remote.ts";
import { DiskStorage } from "../../../../src/overlay/disk/disk-storage.ts";
import { Overlay } from "../../../../src/overlay/overlay.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { createBucket } from "../../../support/test-bucket.ts";

/** Runs before each call that changes a folder. */
const disk = vi.hoisted(() => ({ before: () => {} }));
vi.mock(import("node:fs"), async (original) => {
  const fs = await original();
  const watched = (call: (...args: never[]) => unknown) =>
    ((...args: never[]) => {
      disk.before();
      return call(...args);
    }) as never;
  const { renameSync, rmSync, unlinkSync } = fs;
  return { ...fs, renameSync: watched(renameSync), rmSync: watched(rmSync), unlinkSync: watched(unlinkSync) };
});

const ports = { clock: systemClock, random: systemRandom };
const log = silentLog;

/** The state of an agent that has published everything. */
async function folder() {
  const parent = await temporaryFolder();
  const [bucket, stateDir] = [join(parent, "bucket"), join(parent, "state")];
  const address = `file://${bucket}`;
  await using remote = await openPacked(address, ports);
  const created = await createBucket(remote, 1);
  const { cid, body } = (await created.head()).commit;
  mkdirSync(collectorDirOf(stateDir), { recursive: true });
  const base = { commit: cid, tree: body.tree, seq: body.seq };
  const files = {
    [GENESIS]: created.genesis.bytes,
    [LAST_BASE]: JSON.stringify(base),
    [CONNECTION]: "one",
    device: "key",
  };
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(stateDir, name), bytes);
  await new Overlay({ storage: new DiskStorage(stateDir), base, clock: systemClock, log }).close();
  const start = (accept: boolean) =>
    startOver({ ...ports, address, stateDir, memory: rootFile(stateDir, address), accept, log });
  return { stateDir, start };
}

test("a state whose reset the process does not survive is whole at the next start, or new", async () => {
  const found: string[][] = [];
  for (let step = 0, isDone = false; !isDone; step++) {
    const { stateDir, start } = await folder();
    if (step === 0) found.push(namesIn(stateDir));
    let count = 0;
    disk.before = () => {
      if (count++ >= step) throw new Error("The process died.");
    };
    isDone = await start(true).then(
      () => true,
      () => false,
    );
    disk.before = () => {};
    await start(false);
    found.push(namesIn(stateDir));
  }
  const [whole] = found;
  expect(found.at(-1)).toEqual(["device"]);
  expect(found.length).toBeGreaterThan(8);
  for (const names of found) expect([whole, ["device"]]).toContainEqual(names);
});

/** Without what SQLite keeps beside a database, and files that were not finished. */
function namesIn(stateDir: string): string[] {
  return readdirSync(stateDir).filter((name) => !/-(wal|shm)$|\.tmp$/.test(name));
}
