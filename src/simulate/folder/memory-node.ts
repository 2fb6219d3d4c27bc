/** An inode of a folder in memory, and what its disk reports of it. */
import type { FileType, Xattrs } from "../../format/files/record.ts";
import type { DiskStat } from "../../sync/disk/disk.ts";

export interface Node {
  readonly type: FileType;
  ino: bigint;
  readonly birthNs: bigint;
  mode: number;
  uid: number;
  gid: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  links: number;
  bytes: Buffer;
  xattrs: Xattrs;
  readonly children: Map<string, Node>;
}

export function statOf({ type, mode, uid, gid, mtimeNs, ctimeNs, birthNs, ino, links, bytes }: Node): DiskStat {
  const size = type === "directory" ? 0 : bytes.length;
  const names = type === "directory" ? DIRECTORY_LINKS : links;
  return { type, mode, uid, gid, size, mtimeNs, ctimeNs, birthNs, ino, dev: 1n, links: names, isMounted: false };
}

/** A directory also names itself. */
const DIRECTORY_LINKS = 2;

export function textOf({ type, bytes }: Node): string {
  if (type === "directory") return "dir";
  return type === "symlink" ? `-> ${bytes.toString()}` : bytes.toString();
}

/** All nodes below one, with their paths. */
export function* nodesBelow(node: Node, prefix = ""): Generator<[string, Node]> {
  for (const [name, child] of node.children) {
    yield [prefix + name, child];
    yield* nodesBelow(child, `${prefix}${name}/`);
  }
}

export function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
