/** Permissions below a `.history`: an old version never grants more than it did at its time. */
import { expect, test } from "vitest";
import { ACCESS_ACL } from "../../../../src/format/files/acl.ts";
import { acl, aclText } from "../../../support/acl-text.ts";
import { HistoryHarness } from "../../../support/history-harness.ts";

async function listOf(fs: HistoryHarness, path: string): Promise<string | undefined> {
  const ino = await fs.ino(path);
  const value = await fs.run((vfs) => vfs.getXattr(ino, ACCESS_ACL));
  return value && aclText(value);
}

test("an old version's access control list grants no more than its mode", async () => {
  const fs = await HistoryHarness.create();
  const time = await fs.publish(async (writer) => {
    const ino = await writer.make("f", "text");
    await writer.run((vfs) => vfs.setXattr(ino, ACCESS_ACL, acl("u::rw- u:7:rw- g::r-- m::rw- o::r--"), 0));
    await writer.run((vfs) => vfs.setAttributes(ino, { mode: 0o600 }));
  });
  expect(await listOf(fs, "f")).toBe("u::rw- u:7:rw- g::r-- m::--- o::---");
  expect(await listOf(fs, `.history/${time}/f`)).toBe("u::rw- u:7:rw- g::r-- m::--- o::---");
});

/** A file d/f whose directory was closed then and is open now. */
async function opened(file: number, directory: number, list?: string) {
  const fs = await HistoryHarness.create();
  const time = await fs.publish(async (writer) => {
    const d = await writer.makeDirectory("d");
    const f = await writer.make("d/f", "text");
    await writer.run((vfs) => vfs.setAttributes(f, { mode: file, uid: 5, gid: 50 }));
    if (list !== undefined) await writer.run((vfs) => vfs.setXattr(d, ACCESS_ACL, acl(list), 0));
    await writer.run((vfs) => vfs.setAttributes(d, { mode: directory, uid: 5, gid: 50 }));
  });
  await fs.publish(async (writer) => {
    await writer.unlink("d/f");
    const d = await writer.ino("d");
    await writer.run((vfs) => vfs.setAttributes(d, { mode: 0o755 }));
  });
  return { fs, name: `f@${time}` };
}

test.each([
  [0o644, 0o755, 0o644],
  [0o644, 0o750, 0o640],
  [0o644, 0o700, 0o600],
  [0o666, 0o711, 0o666],
  [0o644, 0o705, 0o604],
  [0o644, 0o070, 0o040],
])("a file %o in a directory that was %o is %o by its own name", async (file, directory, shown) => {
  const { fs, name } = await opened(file, directory);
  expect((await fs.find(`d/.history/${name}`))?.mode).toBe(0o100000 | shown);
  const ino = await fs.ino(`d/.history/${name}`);
  expect((await fs.run((vfs) => vfs.getAttributes(ino))).mode).toBe(0o100000 | shown);
});

test("a listing shows the same permissions as its names", async () => {
  const { fs, name } = await opened(0o644, 0o700);
  const list = await fs.ino("d/.history");
  const modes = new Map<string, number | undefined>();
  await fs.run((vfs) =>
    vfs.readDirectory(list, 0, true, (entry) => {
      modes.set(entry.name, entry.attributes?.mode);
      return true;
    }),
  );
  expect(modes.get(name)).toBe(0o100600);
});

test("in a directory that had an access control list, only the owner reads a file by its own name", async () => {
  const { fs, name } = await opened(0o644, 0o755, "u::rwx u:7:--- g::r-x m::r-x o::r-x");
  expect((await fs.find(`d/.history/${name}`))?.mode).toBe(0o100600);
});

test("files in an old directory keep their permissions", async () => {
  const fs = await HistoryHarness.create();
  const time = await fs.publish(async (writer) => {
    const d = await writer.makeDirectory("d");
    await writer.makeDirectory("d/sub");
    await writer.make("d/sub/f", "text");
    await writer.run((vfs) => vfs.setAttributes(d, { mode: 0o700 }));
  });
  const [sub, file] = [await fs.find(`d/.history/sub@${time}`), await fs.find(`d/.history/sub@${time}/f`)];
  expect([sub?.mode, file?.mode]).toEqual([0o040700, 0o100644]);
});

test("the .history of a directory admits everybody that the directory's access control list admits", async () => {
  const fs = await HistoryHarness.create();
  await fs.publish(async (writer) => {
    const d = await writer.makeDirectory("d");
    await writer.run((vfs) => vfs.setXattr(d, ACCESS_ACL, acl("u::rwx u:7:rwx g::--- m::rwx o::---"), 0));
  });
  expect(await listOf(fs, "d/.history")).toBe("u::r-x u:7:r-x g::--- m::r-x o::---");
  await fs.publish((writer) => writer.makeDirectory("e"));
  expect(await listOf(fs, "e/.history")).toBeUndefined();
});

test.each([
  [false, 0o000],
  [true, 0o600],
])("with one owner shown for all (%s), a file in another's closed directory is %o", async (oneOwner, shown) => {
  const fs = await HistoryHarness.create(undefined, undefined, oneOwner);
  const time = await fs.publish(async (writer) => {
    const d = await writer.makeDirectory("d");
    const f = await writer.make("d/f", "text");
    await writer.run((vfs) => vfs.setAttributes(f, { mode: 0o644, uid: 6, gid: 60 }));
    await writer.run((vfs) => vfs.setAttributes(d, { mode: 0o700, uid: 5, gid: 50 }));
  });
  await fs.publish((writer) => writer.unlink("d/f"));
  expect((await fs.find(`d/.history/f@${time}`))?.mode).toBe(0o100000 | shown);
});
