/**
 * Reads one tree as a filesystem: names, records and back-references by id, and paths on top of them.
 *
 * The `peek…` functions are synchronous and throw BlockMiss when a node is not in memory; `whenLoaded` makes any of them
 * asynchronous. Trees are verified blocks: a row that does not decode throws `format_invalid` and is never skipped.
 */
import { SynclineError } from "../base/errors.ts";
import { type Cid, type FileId, type FileName, ROOT_ID } from "../base/ids.ts";
import { nameToText } from "../base/names.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import {
  backrefKey,
  dentryKey,
  dentryName,
  KIND_BACKREF,
  KIND_DENTRY,
  kindRange,
  parseKey,
  selfKey,
} from "../format/files/keys.ts";
import type { FileRecord } from "../format/files/record.ts";
import { checkBackref, decodeDentry, decodeSelf, type Dentry, dentryId, type SelfRow } from "../format/files/rows.ts";
import type { NodeStore } from "../tree/node-store.ts";
import { peekGet, peekRange } from "../tree/read.ts";
import type { Place } from "./object-rows.ts";

export interface TreeObject {
  readonly id: FileId;
  readonly record: FileRecord;
  /** All its names; one for a directory, none for the root. */
  readonly names: readonly Place[];
  /** Directories in a directory, else 0. */
  readonly subdirs: number;
}

export interface ListedEntry {
  readonly name: FileName;
  readonly dentry: Dentry;
}

/** Entries that a listing reads at a time. */
const LIST_BATCH = 512;

/** What a name leads to, or undefined. Throws BlockMiss. */
export function peekDentry(nodes: NodeStore, tree: Cid, parent: FileId, name: FileName): Dentry | undefined {
  const entry = peekGet(nodes, tree, dentryKey(parent, name));
  return entry === undefined ? undefined : decodeDentry(parent, name, entry);
}

/** Up to `limit` entries of a directory in the order of their names' bytes, starting after `after`. Throws BlockMiss. */
export function peekDirectory(
  nodes: NodeStore,
  tree: Cid,
  directory: FileId,
  after: FileName | undefined,
  limit: number,
): ListedEntry[] {
  const { from, to } = kindRange(directory, KIND_DENTRY);
  // The smallest key after a name is the name with one more byte.
  const start = after === undefined ? from : Buffer.concat([dentryKey(directory, after), ZERO]);
  return peekRange(nodes, tree, start, to, limit).map((entry) => {
    const name = dentryName(entry.key);
    return { name, dentry: decodeDentry(directory, name, entry) };
  });
}

/** The 00 row of a directory or hard-linked file, or undefined. Throws BlockMiss. */
export function peekSelf(nodes: NodeStore, tree: Cid, id: FileId): SelfRow | undefined {
  const entry = peekGet(nodes, tree, selfKey(id));
  return entry === undefined ? undefined : decodeSelf(id, entry);
}

/** Places of a moved or hard-linked file: up to `limit` of its 02 rows after `after`, sorted. Throws BlockMiss. */
export function peekBackrefs(nodes: NodeStore, tree: Cid, id: FileId, limit: number, after?: Place): Place[] {
  const { from, to } = kindRange(id, KIND_BACKREF);
  const start = after === undefined ? from : Buffer.concat([backrefKey(id, after.parent, after.name), ZERO]);
  return peekRange(nodes, tree, start, to, limit).map((entry) => {
    checkBackref(entry);
    const key = parseKey(entry.key);
    if (key.kind !== "backref")
      throw new SynclineError("format_invalid", "A back-reference has the key of another kind of row.");
    return { parent: key.parent, name: key.name };
  });
}

/** How many names a moved or hard-linked file has, at most `limit`, without decoding them. Throws BlockMiss. */
export function countBackrefs(nodes: NodeStore, tree: Cid, id: FileId, limit: number): number {
  const { from, to } = kindRange(id, KIND_BACKREF);
  return peekRange(nodes, tree, from, to, limit).length;
}

/** Runs a synchronous reader, loading missing nodes until it succeeds. Rejects as the node store's `load` does. */
export async function whenLoaded<Result>(loader: Pick<NodeStore, "load">, read: () => Result): Promise<Result> {
  for (;;) {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      await loader.load(error.cids);
    }
  }
}

export function readDentry(nodes: NodeStore, tree: Cid, place: Place): Promise<Dentry | undefined> {
  return whenLoaded(nodes, () => peekDentry(nodes, tree, place.parent, place.name));
}

export function readSelf(nodes: NodeStore, tree: Cid, id: FileId): Promise<SelfRow | undefined> {
  return whenLoaded(nodes, () => peekSelf(nodes, tree, id));
}

export async function readBackrefs(nodes: NodeStore, tree: Cid, id: FileId): Promise<readonly Place[]> {
  const last = lastLinked.get(nodes);
  if (last?.id === id && last.tree === tree) return last.names;
  const names: Place[] = [];
  for (let count = LIST_BATCH; count === LIST_BATCH;) {
    const more = await whenLoaded(nodes, () => peekBackrefs(nodes, tree, id, LIST_BATCH, names.at(-1)));
    names.push(...more);
    count = more.length;
  }
  if (names.length >= MANY_NAMES) lastLinked.set(nodes, { tree, id, names });
  return names;
}

/** The object with many names that was read last: a walk comes to each of its names. */
const lastLinked = new WeakMap<NodeStore, { tree: Cid; id: FileId; names: readonly Place[] }>();
const MANY_NAMES = 16;

/** All entries of a directory, in the order of their names' bytes. */
export async function* listDirectory(nodes: NodeStore, tree: Cid, directory: FileId): AsyncGenerator<ListedEntry> {
  let after: FileName | undefined;
  for (;;) {
    const entries = await whenLoaded(nodes, () => peekDirectory(nodes, tree, directory, after, LIST_BATCH));
    yield* entries;
    if (entries.length < LIST_BATCH) return;
    after = entries.at(-1)?.name;
  }
}

/** The object with this id in a tree, found at `hint` or by its 00 or 02 rows. Undefined when it is not found. */
export async function readObject(
  nodes: NodeStore,
  tree: Cid,
  id: FileId,
  hint?: Place,
): Promise<TreeObject | undefined> {
  if (hint !== undefined) {
    const dentry = await readDentry(nodes, tree, hint);
    if (dentry?.kind === "record" && dentryId(hint.parent, hint.name, dentry) === id)
      return { id, record: dentry.record, names: [hint], subdirs: 0 };
  }
  const self = await readSelf(nodes, tree, id);
  const directory = directoryObject(id, self);
  if (directory !== undefined) return directory;
  const names = await readBackrefs(nodes, tree, id);
  if (self !== undefined) return { id, record: self.record, names, subdirs: 0 };
  const [only] = names;
  if (only === undefined || (hint !== undefined && only.parent === hint.parent && only.name === hint.name))
    return undefined;
  return readObject(nodes, tree, id, only);
}

/** The directory with this id, or undefined. Throws BlockMiss. */
export function peekDirectoryObject(nodes: NodeStore, tree: Cid, id: FileId): TreeObject | undefined {
  return directoryObject(id, peekSelf(nodes, tree, id));
}

function directoryObject(id: FileId, self: SelfRow | undefined): TreeObject | undefined {
  if (self?.kind !== "directory") return undefined;
  return { id, record: self.record, names: self.place === undefined ? [] : [self.place], subdirs: self.subdirs };
}

/** What a name leads to, with its record. Undefined when there is no such name. */
export async function lookup(nodes: NodeStore, tree: Cid, place: Place): Promise<TreeObject | undefined> {
  const dentry = await readDentry(nodes, tree, place);
  return dentry === undefined ? undefined : objectOf(nodes, tree, place, dentry);
}

/** The object that this dentry of the tree leads to. Reads more only where the object has other rows. */
export async function objectOf(nodes: NodeStore, tree: Cid, place: Place, dentry: Dentry): Promise<TreeObject> {
  const id = dentryId(place.parent, place.name, dentry);
  if (dentry.kind === "record") return { id, record: dentry.record, names: [place], subdirs: 0 };
  const found = await readObject(nodes, tree, id);
  if (found !== undefined) return found;
  throw new SynclineError(
    "format_invalid",
    `The name ${JSON.stringify(nameToText(place.name))} points to a missing object.`,
    { hint: "Run `syncline verify` on the bucket." },
  );
}

/** The object at a path of names from the root directory; symlinks are not followed. Undefined when there is none. */
export async function resolvePath(
  nodes: NodeStore,
  tree: Cid,
  path: readonly FileName[],
): Promise<TreeObject | undefined> {
  let object = await readObject(nodes, tree, ROOT_ID);
  for (const name of path) {
    if (object?.record.type !== "directory") return undefined;
    object = await lookup(nodes, tree, { parent: object.id, name });
  }
  return object;
}

/** The names from the root directory to this one. Undefined when a directory on the way is missing. */
export async function pathOfDirectory(nodes: NodeStore, tree: Cid, id: FileId): Promise<FileName[] | undefined> {
  const names: FileName[] = [];
  const seen = new Set<FileId>();
  for (let at = id; at !== ROOT_ID;) {
    const self = await readSelf(nodes, tree, at);
    if (self?.kind !== "directory" || self.place === undefined || seen.has(at)) return undefined;
    seen.add(at);
    names.push(self.place.name);
    at = self.place.parent;
  }
  return names.reverse();
}

/** For a walk that meets a directory within itself, as a faulty writer may have made it: the walk would never end. */
export function liesInItself(): SynclineError {
  return new SynclineError("format_invalid", "The bucket's tree is damaged: directories form a cycle.", {
    hint: "Run `syncline verify` on the bucket to find the damage.",
  });
}

const ZERO = Buffer.alloc(1);
