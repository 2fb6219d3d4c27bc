/**
 * Phase 1, mode and extended attributes. Attributes merge by name, but mode and access list are one field: the mode's group
 * bits are the list's mask, and would be the owning group's rights without the list.
 */
import type { Cid } from "../../base/ids.ts";
import { MAX_XATTR_BYTES } from "../../base/limits.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { isLinked, linkedValues, xattrBytes, xattrsOf } from "../../format/blocks/linked-value.ts";
import { ACCESS_ACL } from "../../format/files/acl.ts";
import { type FileRecord, NO_XATTRS, type Xattrs } from "../../format/files/record.ts";
import { mergeMaps, sameBytes } from "./merge-maps.ts";

type ModeAndXattrs = Pick<FileRecord, "mode" | "xattrs">;

export async function mergeModeAndXattrs(
  blocks: BlockReader,
  base: FileRecord | undefined,
  winner: FileRecord,
  loser: FileRecord,
): Promise<ModeAndXattrs> {
  if (base !== undefined && sameModeAndXattrs(base, winner)) return modeAndXattrs(loser);
  if (sameModeAndXattrs(winner, loser) || (base !== undefined && sameModeAndXattrs(base, loser)))
    return modeAndXattrs(winner);
  const [bases = NO_XATTRS, winners = NO_XATTRS, losers = NO_XATTRS] = await Promise.all(
    [base, winner, loser].map((record) => loadXattrs(blocks, record)),
  );
  const isWinners = base?.mode !== winner.mode || !sameBytes(bases.get(ACCESS_ACL), winners.get(ACCESS_ACL));
  const { mode } = isWinners ? winner : loser;
  const list = (isWinners ? winners : losers).get(ACCESS_ACL);
  const merged = mergeMaps(bases, winners, losers);
  merged.delete(ACCESS_ACL);
  if (list !== undefined) merged.set(ACCESS_ACL, list);
  if (xattrBytes(merged) <= MAX_XATTR_BYTES) return { mode, xattrs: merged };
  return { mode: sameBytes(list, winners.get(ACCESS_ACL)) ? mode : winner.mode, xattrs: winner.xattrs };
}

export async function loadXattrs(blocks: BlockReader, record: FileRecord | undefined): Promise<Xattrs> {
  if (record === undefined) return NO_XATTRS;
  if (!isLinked(record.xattrs)) return record.xattrs;
  const loaded = await blocks.getMany(linkedValues(record));
  return xattrsOf(record, (cid: Cid) => loaded.get(cid) ?? new Uint8Array());
}

function sameModeAndXattrs(a: FileRecord, b: FileRecord): boolean {
  return a.mode === b.mode && sameXattrs(a, b);
}

export function sameXattrs({ xattrs: a }: FileRecord, { xattrs: b }: FileRecord): boolean {
  if (isLinked(a) || isLinked(b)) return isLinked(a) && isLinked(b) && a.linked === b.linked;
  return a.size === b.size && [...a].every(([name, value]) => sameBytes(value, b.get(name)));
}

function modeAndXattrs({ mode, xattrs }: FileRecord): ModeAndXattrs {
  return { mode, xattrs };
}
