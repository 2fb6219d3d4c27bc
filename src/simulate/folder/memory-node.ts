/** An inode of a folder in memory, and what its disk reports of it. */
import type { FileType, Xattrs } from "../../format/files/record.ts";
import type { DiskPath, DiskStat } from "../../sync/disk/disk.ts";

export interface Node {
  readonly type: FileType;
  readonly ino: bigint;
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
  return { type, mode, uid, gid, size, mtimeNs, ctimeNs, birthNs, ino, dev: 1n, links };
}

export function isBelow(path: DiskPath, above: DiskPath): boolean {
  return above.every((name, index) => path[index] === name);
}

export function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
