/** All objects of a tree that are reached by name. */
import { isDeepStrictEqual } from "node:util";
import { type Cid, type FileId, type FileName, ROOT_ID } from "../../base/ids.ts";
import { listDirectory, lookup } from "../../fstree/fs-reader.ts";
import type { Globs } from "../../fstree/merge/globs.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { type Place, placeText } from "../../fstree/object-rows.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";

export interface SurveyedObject {
  readonly id: FileId;
  readonly record: FileRecord;
  /** The object's reachable names. */
  readonly names: Place[];
  /** The names as texts, sorted. */
  readonly places: readonly string[];
}

export type Survey = ReadonlyMap<FileId, SurveyedObject>;

/** The trees of one merge. */
export interface SurveyedMerge {
  readonly base: Survey;
  readonly winner: Survey;
  readonly loser: Survey;
  readonly result: Survey;
  readonly units: UnitRules;
  /** Names of files that may be merged by lines. */
  readonly lines: Globs;
}

/** Whether two records have the same bytes or target. */
export function sameVersion(a: FileRecord, b: FileRecord): boolean {
  return (
    a.type === b.type &&
    a.size === b.size &&
    isDeepStrictEqual(a.content, b.content) &&
    isDeepStrictEqual(a.target, b.target)
  );
}

/** All objects but the root directory. An object with two names occurs once. */
export async function surveyOf(nodes: NodeStore, tree: Cid): Promise<Survey> {
  const objects = new Map<FileId, SurveyedObject & { places: string[] }>();
  const open: FileId[] = [ROOT_ID];
  for (let parent = open.pop(); parent !== undefined; parent = open.pop()) {
    for (const name of await namesIn(nodes, tree, parent)) {
      const found = await lookup(nodes, tree, { parent, name });
      if (found === undefined) continue;
      const { id, record } = found;
      const object = objects.get(id) ?? { id, record, names: [], places: [] };
      if (record.type === "directory" && !objects.has(id)) open.push(id);
      objects.set(id, object);
      object.names.push({ parent, name });
      object.places.push(placeText({ parent, name }));
      object.places.sort();
    }
  }
  return objects;
}

async function namesIn(nodes: NodeStore, tree: Cid, directory: FileId): Promise<FileName[]> {
  const names: FileName[] = [];
  for await (const { name } of listDirectory(nodes, tree, directory)) names.push(name);
  return names;
}
