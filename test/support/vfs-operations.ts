/** Operations by path, and how to perform them on a filesystem under test as the kernel would. */
import * as fc from "fast-check";
import { ERRNO } from "../../src/base/errno.ts";
import type { FileName, Ino } from "../../src/base/ids.ts";
import { ROOT_INO } from "../../src/base/ids.ts";
import { nameFromText } from "../../src/base/names.ts";
import { FsError } from "../../src/vfs/filesystem.ts";
import type { VfsDriver } from "../../src/simulate/vfs-driver.ts";
import { CALLER } from "../../src/simulate/vfs-driver.ts";

export type Operation =
  | { readonly op: "create" | "mkdir" | "unlink" | "rmdir"; readonly path: string }
  | { readonly op: "link" | "rename"; readonly path: string; readonly to: string }
  | { readonly op: "symlink"; readonly path: string; readonly target: string }
  | { readonly op: "chmod"; readonly path: string; readonly mode: number }
  | { readonly op: "write"; readonly path: string; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly op: "truncate"; readonly path: string; readonly size: number }
  | { readonly op: "setxattr"; readonly path: string; readonly name: string; readonly bytes: Uint8Array }
  | { readonly op: "removexattr"; readonly path: string; readonly name: string };

const names = fc.constantFrom("a", "b", "c");
const path = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const bytes = fc.integer({ min: 1, max: 3_000 }).map((length) => new Uint8Array(length).fill(1 + (length % 250)));
const offset = fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 200_000 }));

/** Few names, so that operations meet. */
export const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant("create" as const), path }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("mkdir" as const), path }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("write" as const), path, offset, bytes }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("truncate" as const), path, size: offset }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("unlink" as const), path }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("rmdir" as const), path }) },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("rename" as const), path, to: path }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("link" as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("symlink" as const), path, target: fc.constant("nowhere") }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant("chmod" as const), path, mode: fc.constantFrom(0o600, 0o755, 0o2755) }),
  },
);

/** Performs the operation and commits it. Returns 0 or Linux's error number. */
export async function applyTo(fs: VfsDriver, operation: Operation): Promise<number> {
  try {
    await perform(fs, operation);
    return 0;
  } catch (error) {
    if (error instanceof FsError) return error.errno;
    throw error;
  } finally {
    fs.vfs.persist();
  }
}

/** The tree in the format of LocalDisk.tree. */
export async function treeOf(fs: VfsDriver): Promise<Map<string, string>> {
  const tree = new Map<string, string>();
  const numbers = new Map<number, number>();
  const walk = async (path: string): Promise<void> => {
    const at = await fs.find(path);
    if (at === undefined) throw new Error(`the listing names ${path}, but the lookup does not find it`);
    const mode = (at.mode & 0o7777).toString(8);
    const type = at.mode & S_IFMT;
    if (type === S_IFDIR) {
      tree.set(path, path === "" ? `directory ${at.nlink}` : `directory ${at.nlink} ${mode}`);
      for (const name of await fs.list(path, 5)) await walk(path === "" ? name : `${path}/${name}`);
      return;
    }
    const number = numbers.get(at.ino) ?? numbers.size;
    numbers.set(at.ino, number);
    const contents =
      type === S_IFLNK
        ? await fs.run((vfs) => vfs.readSymlink(at.ino))
        : (await fs.read(at.ino, 0, at.size)).toString("base64");
    const kind = type === S_IFLNK ? "symlink" : "file";
    tree.set(path, `${kind} #${number} ${at.nlink} ${mode} ${at.size} ${contents}`);
  };
  await walk("");
  return tree;
}

async function perform(fs: VfsDriver, operation: Operation): Promise<void> {
  const [parent, name] = await place(fs, operation.path);
  switch (operation.op) {
    case "create":
      await fs.run((vfs) => vfs.makeNode(parent, name, 0o100644, 0, CALLER));
      return;
    case "mkdir":
      await fs.run((vfs) => vfs.makeDirectory(parent, name, 0o755, CALLER));
      return;
    case "symlink":
      await fs.run((vfs) => vfs.makeSymlink(parent, name, operation.target, CALLER));
      return;
    case "unlink":
      return fs.run((vfs) => vfs.unlink(parent, name));
    case "rmdir":
      return fs.run((vfs) => vfs.removeDirectory(parent, name));
    case "rename": {
      const [newParent, newName] = await place(fs, operation.to);
      return fs.run((vfs) => vfs.rename(parent, name, newParent, newName, 0));
    }
    case "link": {
      const ino = await found(fs, parent, name);
      const [newParent, newName] = await place(fs, operation.to);
      await fs.run((vfs) => vfs.link(ino, newParent, newName));
      return;
    }
    case "chmod": {
      const ino = await found(fs, parent, name);
      await fs.run((vfs) => vfs.setAttributes(ino, { mode: operation.mode }));
      return;
    }
    case "write": {
      const ino = await found(fs, parent, name);
      return fs.run((vfs) => vfs.write(ino, operation.offset, operation.bytes));
    }
    case "truncate": {
      const ino = await found(fs, parent, name);
      await fs.run((vfs) => vfs.setAttributes(ino, { size: operation.size }));
      return;
    }
    case "setxattr": {
      const ino = await found(fs, parent, name);
      return fs.run((vfs) => vfs.setXattr(ino, operation.name, operation.bytes, 0));
    }
    case "removexattr": {
      const ino = await found(fs, parent, name);
      return fs.run((vfs) => vfs.removeXattr(ino, operation.name));
    }
  }
}

/** Walks as the kernel does, but follows no symlinks. */
async function place(fs: VfsDriver, path: string): Promise<readonly [Ino, FileName]> {
  const parts = path.split("/");
  const name = nameFromText(parts.pop() ?? "");
  let at = ROOT_INO;
  for (const part of parts) at = await found(fs, at, nameFromText(part), true);
  return [at, name];
}

async function found(fs: VfsDriver, parent: Ino, name: FileName, through = false): Promise<Ino> {
  const attributes = await fs.run((vfs) => vfs.lookup(parent, name));
  if (attributes === undefined) throw new FsError(ERRNO.ENOENT, "no such name");
  const type = attributes.mode & S_IFMT;
  if (through && type === S_IFLNK) throw new FsError(ERRNO.ENOENT, "a symlink to nowhere");
  if (through && type !== S_IFDIR) throw new FsError(ERRNO.ENOTDIR, "not a directory");
  return attributes.ino;
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
