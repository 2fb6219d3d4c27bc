/**
 * Set-user-id, set-group-id where the group may execute, and file capabilities: they stay only if a side had them with the
 * file's content and owner. The kernel, too, clears them when a file is written to or gets another owner.
 */
import type { BlockReader } from "../../blocks/block-store.ts";
import type { FileRecord, Xattrs } from "../../format/files/record.ts";
import { sameBytes } from "./merge-maps.ts";
import { sameVersion } from "./objects.ts";
import { loadXattrs, sameXattrs } from "./xattrs.ts";

/** The record with only the privileges that a side of its content had. Content that no side has is from all of them. */
export async function withEarnedPrivileges(
  blocks: BlockReader,
  record: FileRecord,
  sides: readonly FileRecord[],
): Promise<FileRecord> {
  if (record.type === "directory") return record;
  const sources = sides.filter((side) => sameVersion(side, record));
  const isEarned = (has: (side: FileRecord) => boolean) => {
    const grants = (side: FileRecord) => sameOwner(side, record) && has(side);
    return sources.length > 0 ? sources.some(grants) : sides.every(grants);
  };
  const mode = earnedMode(record.mode, isEarned);
  // Usually: then nothing needs to be loaded.
  if (sources.some((side) => sameOwner(side, record) && sameXattrs(side, record))) return { ...record, mode };
  const xattrs = await loadXattrs(blocks, record);
  const capability = xattrs.get(CAPABILITY);
  if (capability === undefined) return { ...record, mode };
  const loaded = new Map<FileRecord, Xattrs>();
  for (const side of sides) loaded.set(side, await loadXattrs(blocks, side));
  if (isEarned((side) => sameBytes(loaded.get(side)?.get(CAPABILITY), capability))) return { ...record, mode };
  return { ...record, mode, xattrs: new Map([...xattrs].filter(([name]) => name !== CAPABILITY)) };
}

const CAPABILITY = "security.capability";
const SET_UID = 0o4000;
const SET_GID = 0o2000;
const GROUP_EXECUTE = 0o010;

function earnedMode(mode: number, isEarned: (has: (side: FileRecord) => boolean) => boolean): number {
  let earned = mode;
  for (const { bit, needs } of [
    { bit: SET_UID, needs: SET_UID },
    { bit: SET_GID, needs: SET_GID | GROUP_EXECUTE },
  ]) {
    const has = (side: Pick<FileRecord, "mode">) => (side.mode & needs) === needs;
    if (has({ mode }) && !isEarned(has)) earned &= ~bit;
  }
  return earned;
}

function sameOwner(a: FileRecord, b: FileRecord): boolean {
  return a.uid === b.uid && a.gid === b.gid;
}
