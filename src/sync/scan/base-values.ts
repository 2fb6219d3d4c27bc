/** A record's target and extended attributes in the bucket; long values are read from their blocks. */
import type { Cid } from "../../base/ids.ts";
import { isLinked, targetOf, xattrsOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord, Xattrs } from "../../format/files/record.ts";

export type ReadBlock = (cid: Cid) => Promise<Uint8Array>;

/** Keeps attributes that this disk does not show. */
export async function mergedXattrs(base: FileRecord, shown: Xattrs, block: ReadBlock): Promise<Xattrs> {
  const old = await resolved(base, block, (peek) => xattrsOf(base, peek));
  const hidden = [...old].filter(([name]) => !name.startsWith("user."));
  return new Map([...hidden, ...shown]);
}

export function baseTarget(base: FileRecord, block: ReadBlock): Promise<string> {
  return resolved(base, block, (peek) => targetOf(base, peek));
}

async function resolved<Value>(
  base: FileRecord,
  block: ReadBlock,
  read: (peek: (cid: Cid) => Uint8Array) => Value,
): Promise<Value> {
  const linked = [base.xattrs, base.target].filter(isLinked).map((value) => value.linked);
  const blocks = new Map<Cid, Uint8Array>();
  for (const cid of linked) blocks.set(cid, await block(cid));
  return read((cid) => blocks.get(cid) ?? new Uint8Array());
}
