/** Phase 1, the fields of a record: a field that only one side changed is that side's; on a tie, the winner's. */
import type { Cid } from "../../base/ids.ts";
import { MAX_XATTR_BYTES } from "../../base/limits.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { isLinked, linkedValues, xattrBytes, xattrsOf } from "../../format/blocks/linked-value.ts";
import type { ConflictOrigin, FileRecord, Xattrs } from "../../format/files/record.ts";
import { sameButCtime } from "../same-record.ts";
import type { Version } from "./contents/content.ts";

/** The merged record. `version` is the surviving content, with its mtime where the content decides that. */
export async function mergeRecords(
  blocks: BlockReader,
  base: FileRecord | undefined,
  winner: FileRecord,
  loser: FileRecord,
  version: Version,
): Promise<FileRecord> {
  const pick = <Value>(field: (record: FileRecord) => Value): Value => mergeValue(base, winner, loser, field);
  // Both brought the same, as copies of a folder do: it is as old as the earlier one, whose record stands unchanged.
  if (base === undefined && sameButCtime(winner, loser)) return winner.ctimeNs < loser.ctimeNs ? winner : loser;
  return {
    ...version.of,
    mode: pick(({ mode }) => mode),
    uid: pick(({ uid }) => uid),
    gid: pick(({ gid }) => gid),
    mtimeNs: version.mtimeNs ?? pick(({ mtimeNs }) => mtimeNs),
    ctimeNs: pick(({ ctimeNs }) => ctimeNs),
    birthNs: pick(({ birthNs }) => birthNs),
    xattrs: await mergeXattrs(blocks, base, winner, loser),
    conflict: mergeValue(base, winner, loser, ({ conflict }) => conflict, sameOrigin),
    unknown: mergeUnknown(base, winner, loser),
  };
}

function mergeValue<Value>(
  base: FileRecord | undefined,
  winner: FileRecord,
  loser: FileRecord,
  field: (record: FileRecord) => Value,
  same: (a: Value, b: Value) => boolean = Object.is,
): Value {
  return base !== undefined && same(field(base), field(winner)) ? field(loser) : field(winner);
}

async function mergeXattrs(
  blocks: BlockReader,
  base: FileRecord | undefined,
  winner: FileRecord,
  loser: FileRecord,
): Promise<FileRecord["xattrs"]> {
  if (base !== undefined && sameXattrs(base, winner)) return loser.xattrs;
  if (sameXattrs(winner, loser) || (base !== undefined && sameXattrs(base, loser))) return winner.xattrs;
  const [bases, winners, losers] = await Promise.all([base, winner, loser].map((record) => loadXattrs(blocks, record)));
  const merged = mergeMaps(bases ?? new Map(), winners ?? new Map(), losers ?? new Map());
  return xattrBytes(merged) > MAX_XATTR_BYTES ? winner.xattrs : merged;
}

/** Fields of later versions, merged tag by tag; all from the winner if the row could grow too long otherwise. */
function mergeUnknown(base: FileRecord | undefined, winner: FileRecord, loser: FileRecord): FileRecord["unknown"] {
  if (winner.unknown.size === 0 && loser.unknown.size === 0) return winner.unknown;
  const merged = mergeMaps(base?.unknown ?? new Map(), winner.unknown, loser.unknown);
  return bytesOf(merged) > Math.max(bytesOf(winner.unknown), MAX_MERGED_UNKNOWN_BYTES) ? winner.unknown : merged;
}

const MAX_MERGED_UNKNOWN_BYTES = 512;

function mergeMaps<Key extends string | number>(
  base: ReadonlyMap<Key, Uint8Array>,
  winner: ReadonlyMap<Key, Uint8Array>,
  loser: ReadonlyMap<Key, Uint8Array>,
): ReadonlyMap<Key, Uint8Array> {
  const merged = new Map<Key, Uint8Array>();
  for (const key of [...new Set([...winner.keys(), ...loser.keys()])].sort(ascending)) {
    const value = sameBytes(base.get(key), winner.get(key)) ? loser.get(key) : winner.get(key);
    if (value !== undefined) merged.set(key, value);
  }
  return merged;
}

async function loadXattrs(blocks: BlockReader, record: FileRecord | undefined): Promise<Xattrs> {
  if (record === undefined || !isLinked(record.xattrs)) return (record?.xattrs as Xattrs) ?? new Map();
  const loaded = await blocks.getMany(linkedValues(record));
  return xattrsOf(record, (cid: Cid) => loaded.get(cid) ?? new Uint8Array());
}

function sameXattrs({ xattrs: a }: FileRecord, { xattrs: b }: FileRecord): boolean {
  if (isLinked(a) || isLinked(b)) return isLinked(a) && isLinked(b) && a.linked === b.linked;
  return a.size === b.size && [...a].every(([name, value]) => sameBytes(value, b.get(name)));
}

function sameOrigin(a: ConflictOrigin | undefined, b: ConflictOrigin | undefined): boolean {
  return a?.of === b?.of && a?.writer === b?.writer && a?.epoch === b?.epoch;
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.from(a).equals(b);
}

function bytesOf(map: ReadonlyMap<unknown, Uint8Array>): number {
  return [...map.values()].reduce((sum, bytes) => sum + bytes.length, 0);
}

function ascending(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
