/** Phase 1 for one object: existence, fields, content and names, by the rows of the table (docs/design/merge.md). */
import type { FileRecord } from "../../format/files/record.ts";
import type { TreeObject } from "../fs-reader.ts";
import { mergeVersions } from "./contents/content.ts";
import type { MergeContext } from "./context.ts";
import { mergeRecords } from "./fields.ts";
import { gainedName, survivingNames, mergeLocations } from "./locations.ts";
import { sameVersion } from "./objects.ts";
import type { Triple } from "./triple.ts";

export interface MergedObject {
  readonly object: TreeObject | undefined;
  /** The loser's version that is to become a copy, when the object has the winner's. */
  readonly copy: FileRecord | undefined;
}

export async function mergeObject(context: MergeContext, { base, winner, loser }: Triple): Promise<MergedObject> {
  if (winner === undefined || loser === undefined) {
    return { object: mergeWithDelete(base, winner ?? loser), copy: undefined };
  }
  const names = mergeLocations(base, winner, loser);
  const texts = names.map(({ name }) => name);
  const version = await mergeVersions(context, texts, base?.record, winner.record, loser.record);
  const record = await mergeRecords(context.blocks, base?.record, winner.record, loser.record, version);
  return { object: { ...winner, record, names }, copy: version.conflict ? loser.record : undefined };
}

/** What remains of an object that one side deleted: all if the other gave it content or a name, else nothing. */
export function mergeWithDelete(
  base: TreeObject | undefined,
  survivor: TreeObject | undefined,
): TreeObject | undefined {
  if (base === undefined || survivor === undefined) return survivor;
  if (sameVersion(base.record, survivor.record) && !gainedName(base, survivor)) return undefined;
  return { ...survivor, names: survivingNames(base, survivor) };
}
