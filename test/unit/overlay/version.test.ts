import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import type { Ino } from "../../../src/base/ids.ts";
import type { ChangedObject, ChangeSet } from "../../../src/fstree/change-set.ts";
import { ByteWriter } from "../../../src/overlay/data/bytes.ts";
import { NO_CHANGE, type ObjectRow } from "../../../src/overlay/disk/storage.ts";
import { decodeHead, encodeSealed, writeObject } from "../../../src/overlay/journal/checkpoint.ts";
import { applyTo } from "../../support/vfs-operations.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

test("state of another version is refused, with a way out", () => {
  const head = new Uint8Array(64);
  new DataView(head.buffer).setUint32(0, 2, true);
  const refused = thrownBy(() => decodeHead(head));
  expect(refused?.code).toBe("state_corrupt");
  expect(refused?.message).toMatch(/another version of Syncline \(2\)/);
  expect(refused?.hint).toMatch(/unmount it with that version/);
});

describe("state of version 3, with a row for each object in flight,", () => {
  test("is read, and stays readable for programs before this one until something changes", async () => {
    const fs = await VfsHarness.create();
    await fs.make("kept", "1");
    const ino = await fs.make("changed", "2");
    const sealed = fs.vfs.seal();
    await fs.write(ino, 0, "three");
    await fs.vfs.checkpoint();
    makeWhole(fs, sealed?.objects ?? []);
    for (let starts = 0; starts < 2; starts++) {
      fs.restart();
      expect([fs.vfs.seal(), versionOf(fs)]).toEqual([sealed, 3]);
    }
    await fs.vfs.checkpoint();
    fs.restart();
    expect([fs.vfs.seal(), versionOf(fs)]).toEqual([sealed, 4]);
  });

  test("counts more than the objects, of which not all was saved", async () => {
    const fs = await VfsHarness.create();
    await fs.make("a");
    await fs.publish();
    const sealed = await sealedAnew(fs);
    const born = sealed?.objects.find(({ replaces }) => replaces !== undefined);
    if (born === undefined) throw new Error("nothing replaces anything");
    await fs.vfs.checkpoint();
    // As the versions before left it: the object of the row still says what it replaced in the epoch that was sealed before.
    const object = fs.objects.overlay.state.dirty(born.ino);
    object.replaces = 99 as Ino;
    const writer = new ByteWriter(1024);
    writeObject(writer, object);
    makeWhole(fs, sealed?.objects ?? [], [[born.ino, writer.bytes]]);
    for (let starts = 0; starts < 2; starts++) {
      fs.restart();
      expect(fs.vfs.seal()).toEqual(sealed);
      await fs.vfs.checkpoint();
    }
  });
});

/** A new file that takes the place of the base's "a", as the second of two that did; in an epoch that was sealed twice. */
async function sealedAnew(fs: VfsHarness): Promise<ChangeSet | undefined> {
  for (const name of ["g", "b"]) {
    await fs.make(name);
    await applyTo(fs, { op: "rename", path: name, to: "a" });
    fs.vfs.seal(true);
  }
  return fs.vfs.seal();
}

/** Makes the tables those of version 3. */
function makeWhole(fs: VfsHarness, sealed: readonly ChangedObject[], objects: readonly ObjectRow[] = []): void {
  const tables = fs.disk.openTables();
  const head = Uint8Array.from(tables.head() ?? []);
  new DataView(head.buffer).setUint32(0, 3, true);
  const rows = sealed.map((changed) => [changed.ino, encodeSealed(changed)] as const);
  tables.apply({ ...NO_CHANGE, objects, otherFlight: true, sealed: rows, head });
}

function versionOf(fs: VfsHarness): number {
  return new DataView(Uint8Array.from(fs.disk.openTables().head() ?? []).buffer).getUint32(0, true);
}

test("only state with an epoch in flight needs this version", async () => {
  const fs = await VfsHarness.create();
  await fs.make("f", "1");
  await fs.vfs.checkpoint();
  expect(versionOf(fs)).toBe(3);
  fs.vfs.seal();
  await fs.vfs.checkpoint();
  expect(versionOf(fs)).toBe(4);
  await fs.publish();
  await fs.vfs.checkpoint();
  expect(versionOf(fs)).toBe(3);
});

function thrownBy(work: () => unknown): SynclineError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof SynclineError ? error : undefined;
  }
}
