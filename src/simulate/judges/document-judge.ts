/** Checks merges of JSON files: each entry ends as the side that changed it left it, or the file as one side has it. */
import type { ChunkCache } from "../../content/chunk-cache.ts";
import { readContent } from "../../content/read.ts";
import { documentOf, isDocument } from "../documents.ts";
import { sameVersion, type SurveyedMerge, type SurveyedObject } from "./tree-survey.ts";

export async function wrongDocuments(merged: SurveyedMerge, content: ChunkCache): Promise<string[]> {
  const { base, winner, loser, result } = merged;
  const faults: string[] = [];
  for (const object of result.values()) {
    const sides = [base, winner, loser].flatMap((survey) => survey.get(object.id) ?? []);
    if (sides.length < 3 || sides.slice(1).some(({ record }) => sameVersion(record, object.record))) continue;
    if (![object, ...sides].every(isDocumentFile)) continue;
    const [old, ours, theirs] = await Promise.all(sides.map((side) => read(side, content)));
    if (old === undefined || ours === undefined || theirs === undefined) continue;
    const is = await read(object, content);
    const isRight = is !== undefined && isMergeOf(is, old, ours, theirs);
    if (!isRight) faults.push(`a merge mixes both sides of the JSON file ${object.places.join()}`);
  }
  return faults;
}

type Entries = ReadonlyMap<string, string>;

function isMergeOf(is: Entries, old: Entries, ours: Entries, theirs: Entries): boolean {
  return [...new Set([...is.keys(), ...old.keys(), ...ours.keys(), ...theirs.keys()])].every((key) => {
    const [was, won, lost] = [old.get(key), ours.get(key), theirs.get(key)];
    if (won !== lost && was !== won && was !== lost) return false;
    return is.get(key) === (was === won ? lost : won);
  });
}

function isDocumentFile({ record, names }: SurveyedObject): boolean {
  return record.type === "file" && names.length > 0 && names.every(({ name }) => isDocument(name));
}

async function read({ record }: SurveyedObject, content: ChunkCache): Promise<Entries | undefined> {
  return documentOf(await readContent(content, record.content, record.size, 0, record.size));
}
