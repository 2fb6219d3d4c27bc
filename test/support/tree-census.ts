/**
 * Reads all objects of a tree row by row, and finds what is wrong with them. Written from docs/reference/formats.md alone,
 * without knowledge of the code that makes trees, so that it can judge that code.
 */
import type { Cid, FileId } from "../../src/base/ids.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { birthId, parseKey } from "../../src/format/files/keys.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import { checkBackref, decodeDentry, decodeSelf, dentryId, dentryType } from "../../src/format/files/rows.ts";
import type { NodeStore } from "../../src/tree/node-store.ts";
import { range } from "../../src/tree/read.ts";

export interface CensusObject {
  readonly id: FileId;
  readonly record: FileRecord;
  /** `parent id/name`, sorted. */
  readonly names: readonly string[];
}

interface Found {
  selfs: number;
  record: FileRecord | undefined;
  place: string | undefined;
  subdirs: number;
  readonly names: string[];
  readonly backrefs: string[];
  /** Dentries that hold the record, with the id that they state. */
  readonly inline: { readonly stated: FileId | undefined; readonly atBirth: boolean }[];
}

/** Throws with a list of what is wrong unless the tree is a valid filesystem in canonical rows. */
export async function takeCensus(nodes: NodeStore, tree: Cid): Promise<Map<FileId, CensusObject>> {
  const found = new Map<FileId, Found>();
  const of = (id: FileId): Found => {
    const known = found.get(id) ?? emptyFound();
    found.set(id, known);
    return known;
  };
  for await (const entry of range(nodes, tree, {})) {
    const key = parseKey(entry.key);
    if (key.kind === "self") {
      const self = decodeSelf(key.id, entry);
      const object = of(key.id);
      object.selfs++;
      object.record = self.record;
      if (self.kind === "directory") {
        object.subdirs = self.subdirs;
        object.place = self.place === undefined ? undefined : `${self.place.parent}/${self.place.name}`;
      }
    } else if (key.kind === "backref") {
      checkBackref(entry);
      of(key.id).backrefs.push(`${key.parent}/${key.name}`);
    } else {
      const dentry = decodeDentry(key.id, key.name, entry);
      const object = of(dentryId(key.id, key.name, dentry));
      object.names.push(`${key.id}/${key.name}`);
      if (dentry.kind !== "record") continue;
      object.record = dentry.record;
      const born = birthId(key.id, key.name, dentryType(dentry), 0);
      object.inline.push({ stated: dentry.stated, atBirth: born === dentryId(key.id, key.name, dentry) });
    }
  }
  const wrong = [...found].flatMap(([id, object]) => faultsOf(id, object, found).map((fault) => `${id}: ${fault}`));
  if (wrong.length > 0) throw new Error(`The tree is not valid:\n${wrong.join("\n")}`);
  return new Map(
    [...found].map(([id, { record, names }]) => [id, { id, record: record as FileRecord, names: names.sort() }]),
  );
}

function faultsOf(id: FileId, object: Found, all: ReadonlyMap<FileId, Found>): string[] {
  const { record, names } = object;
  if (record === undefined) return ["has rows but no record"];
  const faults: string[] = [];
  for (const name of names) {
    const parent = all.get(name.slice(0, 32) as FileId);
    if (parent?.record?.type !== "directory") faults.push(`its parent is no directory: ${name}`);
  }
  faults.push(...(record.type === "directory" ? directoryFaults(id, object, all) : fileFaults(object)));
  return faults;
}

function directoryFaults(id: FileId, object: Found, all: ReadonlyMap<FileId, Found>): string[] {
  const faults: string[] = [];
  const children = [...all.values()].filter(
    ({ record, place }) => record?.type === "directory" && place?.slice(0, 32) === id,
  );
  if (object.selfs !== 1 || object.inline.length > 0) faults.push("a directory without its own row");
  if (object.backrefs.length > 0) faults.push("a directory has back-references");
  if (object.subdirs !== children.length) faults.push(`subdirs ${object.subdirs}, but ${children.length} lie in it`);
  if (id === ROOT_ID) return object.names.length > 0 ? ["the root has a name"] : faults;
  if (object.names.length !== 1 || object.names[0] !== object.place)
    faults.push(`names ${object.names}, place ${object.place}`);
  const seen = new Set<string>();
  let at: string | undefined = id;
  while (at !== undefined && at !== ROOT_ID && !seen.has(at)) {
    seen.add(at);
    at = all.get(at as FileId)?.place?.slice(0, 32);
  }
  if (at !== ROOT_ID) faults.push("not reachable from the root");
  return faults;
}

function fileFaults({ names, backrefs, inline, selfs }: Found): string[] {
  const faults: string[] = [];
  if (names.length === 0) faults.push("a file without a name");
  const linked = names.length > 1;
  if (linked && (selfs !== 1 || inline.length > 0))
    faults.push("a hard-linked file whose record is not in its own row");
  if (!linked && (selfs !== 0 || inline.length !== 1))
    faults.push("a single-link file whose record is not in its dentry");
  const stated = inline[0]?.stated !== undefined;
  if (!linked && stated === inline[0]?.atBirth) faults.push("an id is stated exactly if it is the birth id");
  const wanted = linked || stated ? [...names].sort() : [];
  if ([...backrefs].sort().join() !== wanted.join()) faults.push(`back-references ${backrefs}, expected ${wanted}`);
  return faults;
}

function emptyFound(): Found {
  return { selfs: 0, record: undefined, place: undefined, subdirs: 0, names: [], backrefs: [], inline: [] };
}
