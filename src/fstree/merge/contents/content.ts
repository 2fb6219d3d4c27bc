/** Phase 1, the content: which one an object has after the merge, and whether the loser's version becomes a copy. */
import { unlessDamaged } from "../../../base/errors.ts";
import type { FileName } from "../../../base/ids.ts";
import { linkedValues, targetOf } from "../../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../../format/files/record.ts";
import { blake3 } from "../../../crypto/hash.ts";
import { contentHash } from "../../../content/walk.ts";
import type { MergeContext } from "../context.ts";
import { matchesAll } from "../globs.ts";
import { mergeLogs } from "./log.ts";
import { sameVersion } from "../objects.ts";
import { mergeTexts } from "./text.ts";

export interface Version {
  /** The record that supplies type, size, content, target and device number. */
  readonly of: FileRecord;
  /** Set if the content decides the mtime; otherwise it is merged as a field. */
  readonly mtimeNs: bigint | undefined;
  /** The result does not contain the loser's version, which becomes a copy. */
  readonly conflict: boolean;
}

/** The content of an object that both sides have under these names. */
export async function mergeVersions(
  context: MergeContext,
  names: readonly FileName[],
  base: FileRecord | undefined,
  winner: FileRecord,
  loser: FileRecord,
): Promise<Version> {
  if (sameVersion(winner, loser)) return { of: winner, mtimeNs: undefined, conflict: false };
  if (base !== undefined && sameVersion(base, winner)) return { of: loser, mtimeNs: loser.mtimeNs, conflict: false };
  if (base !== undefined && sameVersion(base, loser)) return { of: winner, mtimeNs: winner.mtimeNs, conflict: false };
  const merged = base?.type === "file" ? await mergeFiles(context, names, base, winner, loser) : undefined;
  if (merged === undefined) return { of: winner, mtimeNs: winner.mtimeNs, conflict: true };
  const mtimeNs = winner.mtimeNs > loser.mtimeNs ? winner.mtimeNs : loser.mtimeNs;
  return { of: { ...winner, ...merged }, mtimeNs, conflict: false };
}

/** Identifies a version, in conflict names and comparisons: the hash of its content, or of a symlink's target. 32 bytes. */
export async function versionHash(context: Pick<MergeContext, "blocks">, record: FileRecord): Promise<Uint8Array> {
  if (record.type === "file") return contentHash(record.content);
  if (record.type !== "symlink") return blake3(Buffer.from(`${record.type} ${record.rdev}`));
  const loaded = await context.blocks.getMany(linkedValues(record));
  const target = targetOf(record, (cid) => loaded.get(cid) ?? new Uint8Array());
  return blake3(Buffer.from(target, "latin1"));
}

/** The bytes of both sides in one file, where a rule allows it and the base's bytes are left. */
function mergeFiles(...[context, names, base, winner, loser]: Parameters<typeof mergeBytes>) {
  const merge = () => mergeBytes(context, names, base, winner, loser);
  const mayBeGone = "cid" in base.content && context.gone?.has(base.content.cid) === true;
  return mayBeGone ? unlessDamaged(merge) : merge();
}

async function mergeBytes(
  context: MergeContext,
  names: readonly FileName[],
  base: FileRecord,
  winner: FileRecord,
  loser: FileRecord,
): Promise<Pick<FileRecord, "content" | "size"> | undefined> {
  const { logs, text } = context.policy;
  if (matchesAll(logs, names)) {
    const merged = await mergeLogs(context, base, winner, loser);
    if (merged !== "not appended") return merged;
  }
  return matchesAll(text, names) ? mergeTexts(context, names, base, winner, loser) : undefined;
}
