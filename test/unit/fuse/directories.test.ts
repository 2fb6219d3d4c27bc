/** Listings whose rows are not in memory yet. */
import { expect, test, vi } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { BlockMiss } from "../../../src/blocks/block-store.ts";
import type { Cid } from "../../../src/base/ids.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import type { FileSystem } from "../../../src/vfs/filesystem.ts";
import { overriding } from "../../../src/vfs/overriding.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const LIMIT = 4_096;

test.each([
  ["waits for the first file, so that the kernel asks for the attributes of all", 2, [5]],
  ["answers with the files that are in memory", 4, [4]],
])("a listing %s", async (_, inMemory, lists) => {
  const fs = await VfsHarness.create();
  for (const name of ["a", "b", "c"]) await fs.make(name);
  const session = serve(fs, missesAfter(fs.vfs, inMemory));
  session.send({ opcode: "READDIRPLUS", unique: 2, arguments: [0, LIMIT] });
  await vi.waitFor(() => expect(session.done.some((each) => each.startsWith("answer READDIRPLUS"))).toBe(true));
  expect(session.done.filter((each) => each.startsWith("list"))).toEqual(lists.map((count) => `list ${count}`));
});

function serve({ clock }: VfsHarness, vfs: FileSystem): FakeSession {
  const session = new FakeSession();
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock });
  void new Door(session.addon, { device: 3, memory: 4 }, vfs, options, { ready: () => {}, ended: () => {} });
  return session;
}

/** The filesystem, of whose first listing only so many entries are in memory. */
function missesAfter(vfs: FileSystem, entries: number): FileSystem {
  let loaded = false;
  return overriding(vfs, {
    readDirectory(ino, cookie, withAttributes, emit) {
      let left = entries;
      vfs.readDirectory(ino, cookie, withAttributes, (entry) => {
        if (!loaded && left-- === 0) throw new BlockMiss(["bafkr4itest" as Cid]);
        return emit(entry);
      });
    },
    load: async () => void (loaded = true),
  });
}
