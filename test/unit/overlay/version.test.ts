import { expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { decodeHead, encodeSealed } from "../../../src/overlay/journal/checkpoint.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

test("state of another version is refused, with a way out", () => {
  const head = new Uint8Array(64);
  new DataView(head.buffer).setUint32(0, 2, true);
  const refused = thrownBy(() => decodeHead(head));
  expect(refused?.code).toBe("state_corrupt");
  expect(refused?.message).toMatch(/another version of Syncline \(2\)/);
  expect(refused?.hint).toMatch(/unmount it with that version/);
});

test("state of version 3, with a row for each object in flight, is read", async () => {
  const fs = await VfsHarness.create();
  await fs.make("kept", "1");
  const ino = await fs.make("changed", "2");
  const sealed = fs.vfs.seal();
  await fs.write(ino, 0, "three");
  await fs.vfs.checkpoint();
  const tables = fs.disk.openTables();
  const head = Uint8Array.from(tables.head() ?? []);
  new DataView(head.buffer).setUint32(0, 3, true);
  tables.apply({
    inodes: [],
    removedInodes: [],
    objects: [],
    takesStaged: false,
    otherFlight: true,
    sealed: (sealed?.objects ?? []).map((changed) => [changed.ino, encodeSealed(changed)]),
    head,
  });
  fs.restart();
  expect(fs.vfs.seal()).toEqual(sealed);
  await fs.vfs.checkpoint();
  fs.restart();
  expect(fs.vfs.seal()).toEqual(sealed);
});

test("only state with an epoch in flight needs this version", async () => {
  const fs = await VfsHarness.create();
  const version = () => new DataView(Uint8Array.from(fs.disk.openTables().head() ?? []).buffer).getUint32(0, true);
  await fs.make("f", "1");
  await fs.vfs.checkpoint();
  expect(version()).toBe(3);
  fs.vfs.seal();
  await fs.vfs.checkpoint();
  expect(version()).toBe(4);
  await fs.publish();
  await fs.vfs.checkpoint();
  expect(version()).toBe(3);
});

function thrownBy(work: () => unknown): SynclineError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof SynclineError ? error : undefined;
  }
}
