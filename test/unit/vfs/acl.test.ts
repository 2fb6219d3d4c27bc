/** Access control lists of one object, and what new objects inherit. */
import { describe, expect, test } from "vitest";
import { ERRNO } from "../../../src/base/errno.ts";
import type { FileName, Ino } from "../../../src/base/ids.ts";
import { ROOT_INO } from "../../../src/base/ids.ts";
import { ACCESS_ACL, DEFAULT_ACL, encodeAcl } from "../../../src/format/files/acl.ts";
import { parseAcl, readAcl } from "../../../src/vfs/acl.ts";
import { FsError } from "../../../src/vfs/filesystem.ts";
import { acl, aclText } from "../../support/acl-text.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const CALLER = { uid: 1, gid: 1, umask: 0o022 };
const NAMED = "u::rw- u:7:rwx g::r-- g:8:r-- m::rwx o::r--";

async function refusal(call: Promise<unknown>): Promise<number | undefined> {
  const error: unknown = await call.catch((thrown: unknown) => thrown);
  return error instanceof FsError ? error.errno : undefined;
}

async function world() {
  const fs = await VfsHarness.create();
  const file = await fs.make("f", "x");
  const set = (ino: Ino, name: string, text: string) => fs.run((vfs) => vfs.setXattr(ino, name, acl(text), 0));
  const shown = async (ino: Ino, name: string) => {
    const value = await fs.run((vfs) => vfs.getXattr(ino, name));
    return value && aclText(value);
  };
  const mode = async (ino: Ino) => (await fs.run((vfs) => vfs.getAttributes(ino))).mode & 0o7777;
  return { fs, file, set, shown, mode };
}

describe("an access list", () => {
  test("sets the mode: its mask becomes the group bits", async () => {
    const { file, set, shown, mode } = await world();
    await set(file, ACCESS_ACL, NAMED);
    expect(await mode(file)).toBe(0o674);
    expect(await shown(file, ACCESS_ACL)).toBe(NAMED);
  });

  test("that a mode can express becomes the mode, and removes an earlier list", async () => {
    const { fs, file, set, shown, mode } = await world();
    await set(file, ACCESS_ACL, "u::rwx g::r-x o::---");
    expect(await mode(file)).toBe(0o750);
    await set(file, ACCESS_ACL, NAMED);
    await set(file, ACCESS_ACL, "u::rw- g::--- o::---");
    expect(await mode(file)).toBe(0o600);
    expect(await shown(file, ACCESS_ACL)).toBeUndefined();
    expect(await fs.run((vfs) => vfs.listXattrs(file))).toEqual([]);
  });

  test("follows the mode, also after a restart and in the bucket", async () => {
    const { fs, file, set, shown } = await world();
    await set(file, ACCESS_ACL, NAMED);
    await fs.run((vfs) => vfs.setAttributes(file, { mode: 0o2710 }));
    const followed = "u::rwx u:7:rwx g::r-- g:8:r-- m::--x o::---";
    expect(await shown(file, ACCESS_ACL)).toBe(followed);
    await fs.publish();
    expect(await shown(file, ACCESS_ACL)).toBe(followed);
    fs.restart();
    expect(await shown(file, ACCESS_ACL)).toBe(followed);
  });

  test("can be removed without changing the mode; removing a missing one succeeds", async () => {
    const { fs, file, set, shown, mode } = await world();
    await set(file, ACCESS_ACL, NAMED);
    for (let times = 0; times < 2; times++) await fs.run((vfs) => vfs.removeXattr(file, ACCESS_ACL));
    expect(await shown(file, ACCESS_ACL)).toBeUndefined();
    expect(await mode(file)).toBe(0o674);
    await set(file, ACCESS_ACL, NAMED);
    await fs.run((vfs) => vfs.setXattr(file, ACCESS_ACL, encodeAcl([]), 0));
    expect(await shown(file, ACCESS_ACL)).toBeUndefined();
  });

  test("keeps set-id and sticky bits, and other attributes", async () => {
    const { fs, file, set, mode } = await world();
    await fs.run((vfs) => vfs.setAttributes(file, { mode: 0o7644 }));
    await fs.run((vfs) => vfs.setXattr(file, "user.a", Buffer.from("b"), 0));
    await set(file, ACCESS_ACL, NAMED);
    expect(await mode(file)).toBe(0o7674);
    expect(await fs.run((vfs) => vfs.listXattrs(file))).toEqual(["user.a", ACCESS_ACL]);
  });

  test("is refused on symlinks, and a default list on everything but directories", async () => {
    const { fs, file, set } = await world();
    const { ino } = await fs.run((vfs) => vfs.makeSymlink(ROOT_INO, "s" as FileName, "f", CALLER));
    expect(await refusal(set(ino, ACCESS_ACL, NAMED))).toBe(ERRNO.EOPNOTSUPP);
    expect(await refusal(set(file, DEFAULT_ACL, NAMED))).toBe(ERRNO.EACCES);
  });
});

describe("new objects in a directory with a default list", () => {
  const DEFAULT = "u::rwx u:7:rwx g::r-x m::rwx o::r-x";

  async function directory() {
    const made = await world();
    const { ino } = await made.fs.run((vfs) => vfs.makeDirectory(ROOT_INO, "d" as FileName, 0o777, CALLER));
    expect(await made.mode(ino)).toBe(0o755);
    await made.set(ino, DEFAULT_ACL, DEFAULT);
    return { ...made, parent: ino };
  }

  test("get it, limited to the requested mode but not by the umask", async () => {
    const { fs, parent, shown, mode } = await directory();
    const makers = [
      () => fs.vfs.makeNode(parent, "f" as FileName, 0o100664, 0, CALLER),
      () => fs.vfs.makeNode(parent, "fifo" as FileName, 0o010664, 0, CALLER),
      () => fs.vfs.makeUnnamed(parent, 0o664, CALLER),
    ];
    for (const make of makers) {
      const { ino } = make();
      expect(await mode(ino)).toBe(0o664);
      expect(await shown(ino, ACCESS_ACL)).toBe("u::rw- u:7:rwx g::r-x m::rw- o::r--");
      expect(await shown(ino, DEFAULT_ACL)).toBeUndefined();
    }
  });

  test("that are directories also get it as their own default list", async () => {
    const { fs, parent, shown, mode } = await directory();
    const { ino } = fs.vfs.makeDirectory(parent, "e" as FileName, 0o770, CALLER);
    expect(await mode(ino)).toBe(0o770);
    expect(await shown(ino, ACCESS_ACL)).toBe("u::rwx u:7:rwx g::r-x m::rwx o::---");
    expect(await shown(ino, DEFAULT_ACL)).toBe(DEFAULT);
  });

  test("that are symlinks get no list", async () => {
    const { fs, parent } = await directory();
    const { ino } = fs.vfs.makeSymlink(parent, "s" as FileName, "f", CALLER);
    expect(await fs.run((vfs) => vfs.listXattrs(ino))).toEqual([]);
  });

  test("get only a mode if a mode can express the list", async () => {
    const { fs, parent, set, shown, mode } = await directory();
    await set(parent, DEFAULT_ACL, "u::rwx g::rwx o::---");
    const { ino } = fs.vfs.makeNode(parent, "f" as FileName, 0o100666, 0, CALLER);
    expect(await mode(ino)).toBe(0o660);
    expect(await shown(ino, ACCESS_ACL)).toBeUndefined();
  });
});

test.each([
  ["no owner", "g::r-- o::r--"],
  ["two owners", "u::rw- u::rw- g::r-- o::r--"],
  ["named entries without a mask", "u::rw- u:7:rwx g::r-- o::r--"],
  ["two masks", "u::rw- g::r-- m::r-- m::r-- o::r--"],
  ["the wrong order", "g::r-- u::rw- o::r--"],
  ["a user without a number", "u::rw- u:4294967295:rwx g::r-- m::rwx o::r--"],
])("a list with %s is refused", (_, text) => {
  expect(() => parseAcl(acl(text))).toThrow("EINVAL");
});

test("a list of another version is refused as unsupported", () => {
  const value = acl(NAMED);
  value[0] = 3;
  expect(() => parseAcl(value)).toThrow("EOPNOTSUPP");
  expect(() => parseAcl(acl(NAMED).subarray(0, 9))).toThrow("EINVAL");
});

test("a damaged stored list gives EIO", () => {
  expect(aclText(encodeAcl(readAcl(acl(NAMED)) ?? []))).toBe(NAMED);
  expect(() => readAcl(Buffer.from("damaged"))).toThrow(expect.objectContaining({ errno: ERRNO.EIO }));
});
