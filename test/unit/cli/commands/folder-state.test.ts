/** The state of a folder that was synced beside a mount: it is the folder's own, not that of the mount. */
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { cacheDirOf, mountStatePath, noteEnded, openMountState } from "../../../../src/agent/state/state-dir.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { DiskBlockCache } from "../../../../src/blocks/disk-block-cache.ts";
import { openCaches } from "../../../../src/cli/commands/local-copies.ts";
import { register } from "../../../../src/cli/commands/status.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { numberedBlock } from "../../../support/numbered-block.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const address = "file:///b";
let root: string;
let folder: string;
let states: { mount: string; folder: string };

beforeEach(async () => {
  const space = await temporaryFolder();
  [root, folder] = [join(space, "states"), join(space, "work")];
  const mount = { address, mount: join(space, "mnt") };
  const beside = { address, mount: folder, door: "sync" } as const;
  states = { mount: mountStatePath(root, mount), folder: mountStatePath(root, beside) };
  for (const facts of [mount, { ...beside, agent: states.mount }]) {
    using state = openMountState(root, facts);
    state.list(silentLog);
  }
  const pending = { files: 1, bytes: 1, oldestMs: 1, etaMs: null };
  noteEnded(states.mount, { drained: false, pending, error: null }, silentLog);
});

test("status names the folder's own state, so that removing it loses no changes of the mount", async () => {
  const runtime = createFakeRuntime({});
  const line = ["status", folder, "--json", "--state", root];
  expect(await runCommandLine(line, runtime, [register], "1.2.3")).toBe(1);
  expect(JSON.parse(runtime.out())).toMatchObject({ synced: [{ mount: folder, state: states.folder }] });
});

test("verify finds blocks in its cache, and in that of the mount", async () => {
  const blocks = [numberedBlock(1), numberedBlock(2)];
  for (const [index, state] of [states.mount, states.folder].entries()) {
    const cache = new DiskBlockCache({ dir: cacheDirOf(state), bytes: 2 ** 20, log: silentLog });
    cache.keep(blocks.slice(index, index + 1));
    await cache.close();
  }
  await using caches = openCaches(createFakeRuntime({}), root, address);
  const cids = blocks.map(({ cid }) => cid);
  expect([...(await caches.getMany(cids)).keys()].toSorted()).toEqual(cids.toSorted());
});
