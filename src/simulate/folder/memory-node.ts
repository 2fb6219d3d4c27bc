/** An inode of a folder in memory, and what its disk reports of it. */
import { zerosEnd } from "../../content/zeros.ts";
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

/** The node and all below it. Hard links stay links. */
export function copyOf(root: Node): Node {
  const copies = new Map<Node, Node>();
  const copied = (node: Node): Node => {
    const known = copies.get(node);
    if (known !== undefined) return known;
    const copy = { ...node, bytes: Buffer.from(node.bytes), children: new Map<string, Node>() };
    copies.set(node, copy);
    for (const [name, child] of node.children) copy.children.set(name, copied(child));
    return copy;
  };
  return copied(root);
}

/** Changes the inode numbers of all nodes below this one: each gets that of the next. */
export function renumber(root: Node): void {
  const nodes = [...new Set(Array.from(nodesBelow(root), ([, node]) => node))];
  const inos = nodes.map(({ ino }) => ino);
  for (const [index, node] of nodes.entries()) node.ino = inos[(index + 1) % inos.length] ?? node.ino;
}

/** Any zeros count as a hole. */
export function zerosAt({ bytes }: Node, offset: number): number {
  return zerosEnd(bytes, Math.min(offset, bytes.length), bytes.length) - Math.min(offset, bytes.length);
}

/** A copy of `bytes` with `others` written over it at `offset`. */
export function written(bytes: Buffer, offset: number, others: Buffer): Buffer {
  const grown = Buffer.alloc(Math.max(bytes.length, offset + others.length));
  grown.set(bytes);
  grown.set(others, offset);
  return grown;
}

export function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}
