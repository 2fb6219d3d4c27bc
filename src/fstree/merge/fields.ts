/** Phase 1, the fields of a record: a field that only one side changed is that side's; on a tie, the winner's. */
import type { BlockReader } from "../../blocks/block-store.ts";
import type { ConflictOrigin, FileRecord } from "../../format/files/record.ts";
import { sameButCtime } from "../same-record.ts";
import type { Version } from "./contents/content.ts";
import { mergeMaps } from "./merge-maps.ts";
import { withEarnedPrivileges } from "./privileges.ts";
import { mergeModeAndXattrs } from "./xattrs.ts";

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
  const merged = {
    ...version.of,
    ...(await mergeModeAndXattrs(blocks, base, winner, loser)),
    uid: pick(({ uid }) => uid),
    gid: pick(({ gid }) => gid),
    mtimeNs: version.mtimeNs ?? pick(({ mtimeNs }) => mtimeNs),
    ctimeNs: pick(({ ctimeNs }) => ctimeNs),
    birthNs: pick(({ birthNs }) => birthNs),
    conflict: mergeValue(base, winner, loser, ({ conflict }) => conflict, sameOrigin),
    unknown: mergeUnknown(base, winner, loser),
  };
  return withEarnedPrivileges(blocks, merged, [winner, loser]);
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

/** Fields of later versions, merged tag by tag; all from the winner if the row could grow too long otherwise. */
function mergeUnknown(base: FileRecord | undefined, winner: FileRecord, loser: FileRecord): FileRecord["unknown"] {
  if (winner.unknown.size === 0 && loser.unknown.size === 0) return winner.unknown;
  const merged = mergeMaps(base?.unknown ?? new Map(), winner.unknown, loser.unknown);
  return bytesOf(merged) > Math.max(bytesOf(winner.unknown), MAX_MERGED_UNKNOWN_BYTES) ? winner.unknown : merged;
}

const MAX_MERGED_UNKNOWN_BYTES = 512;

function sameOrigin(a: ConflictOrigin | undefined, b: ConflictOrigin | undefined): boolean {
  return a?.of === b?.of && a?.writer === b?.writer && a?.epoch === b?.epoch;
}

function bytesOf(map: ReadonlyMap<unknown, Uint8Array>): number {
  return [...map.values()].reduce((sum, bytes) => sum + bytes.length, 0);
}
