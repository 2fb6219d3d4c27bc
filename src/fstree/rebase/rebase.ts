/**
 * Builds the trees of a sealed epoch: the merge's base, and our own tree on top of it.
 *
 * A pure function of the reference tree and the change set with its data. Building an epoch again gives the same trees and
 * ids, which makes retries and restarts safe.
 */
import { groupBy } from "../../base/collections.ts";
import { type Cid, type FileId, type Ino, ROOT_ID, ROOT_INO } from "../../base/ids.ts";
import { SmallBytes } from "../../base/small-bytes.ts";
import { nodesInto } from "../../blocks/block-codec.ts";
import { allOf, differences, entriesOf } from "../differences.ts";
import { editContent } from "../../content/edit.ts";
import type { ReadData } from "../../content/segment.ts";
import { dentryKey } from "../../format/files/keys.ts";
import type { Content, FileRecord } from "../../format/files/record.ts";
import { editTree, preload } from "../../tree/edit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { refuseCycles } from "./cycles.ts";
import { epochPlaces } from "./epoch-places.ts";
import { lostDirectories } from "./lost-directories.ts";
import { type Author, replaceGoneContents } from "./gone-contents.ts";
import { findKeptNonEmpty } from "./kept-non-empty.ts";
import { resurrectDirectories } from "./resurrected.ts";
import { rehomeOrphans } from "./orphans.ts";
import { giveIdentities, type Identities, survives } from "./identities.ts";
import { keptState, type KeptState, keptTransitions, type OlderTrees } from "./kept-rows.ts";
import { Occupants, type OwnIds } from "./occupants.ts";
import { type NameCollision, resolveNameCollisions } from "./name-collisions.ts";
import { editsOf, type FinishRecord, type ObjectState, type Transition } from "./transition.ts";
import type { BaseChange, ChangedObject, ChangeSet, DataReader, SeenFile, Segment } from "../change-set.ts";
import { readSelf, type TreeObject } from "../fs-reader.ts";
import type { MergeContext } from "../merge/context.ts";
import { sameContent } from "../merge/objects.ts";
import { sameButCtime } from "../same-record.ts";
import { type Place, rowKeysOf } from "../object-rows.ts";

export interface RebaseContext extends Omit<MergeContext, "policy" | "gone"> {
  /** The epoch's author, and whether its base is gone and it is built on the newest root. Absent: nothing is gone. */
  readonly author?: Author;
  /** Trees before the reference, newest first: searched for files that others moved. Rarely asked for. */
  readonly olderTrees?: OlderTrees;
}

/** An object as our own tree holds it. */
export type RebasedObject = Omit<TreeObject, "subdirs">;

export interface RebasedEpoch {
  /** The reference tree with the kept rows: what both sides of a merge started from. */
  readonly mergeBase: Cid;
  readonly ours: Cid;
  /** Each object of the epoch that still exists, including directories that it deleted but that are kept non-empty. */
  readonly objects: ReadonlyMap<Ino, RebasedObject>;
  /** Our tree's differences from the reference with the epoch's changes, as if others' changes. Undefined: too many. */
  readonly unseen: readonly BaseChange[] | undefined;
  /** Contents of the base that may be gone: a merge does without them. */
  readonly gone: ReadonlySet<Cid>;
  /** The number of files that were partly written over missing bytes. */
  readonly torn: number;
}

/**
 * Builds both trees on `reference`, a tree. Throws `block_not_found` when blocks of the reference or of a base content are
 * gone, what `data` throws, and `internal` for a change set that contradicts itself.
 */
export async function rebaseEpoch(
  context: RebaseContext,
  reference: Cid,
  epoch: ChangeSet,
  reader: DataReader,
): Promise<RebasedEpoch> {
  const { nodes, sink, treeConfig, author } = context;
  if (author?.baseGone === false) await preloadRows(nodes, reference, epoch, keptStates(epoch, []));
  const replaced = author && (await replaceGoneContents(context, reference, epoch, reader, author));
  const { changes: sealed, data, dropped, gone, torn } = replaced ?? { ...WHOLE, changes: epoch, data: reader };
  const link = nodesInto(sink);
  const apply = (tree: Cid, transitions: readonly Transition[], finish?: FinishRecord) => {
    if (transitions.length === 0) return Promise.resolve(tree);
    return editTree(nodes, sink, treeConfig, tree, editsOf(nodes, tree, transitions, link, finish));
  };

  const { olderTrees = noTrees } = context;
  const { changes, parted, resurrected, kept, lost } = await placeEpoch(nodes, reference, sealed, olderTrees);
  const states = [...kept, ...lost];
  const own = ownIds(changes, states);
  const displaced = await keptTransitions(nodes, reference, states, own, link, olderTrees, changes.notShown);
  const baseWithKept = await apply(reference, displaced);
  const occupants = new Occupants(nodes, baseWithKept, { ...own, objects: new Set(kept.map(({ id }) => id)) });
  const identities = await giveIdentities(nodes, baseWithKept, changes, occupants);
  const mergeBase = await apply(baseWithKept, occupants.transitions());

  const nonEmpty = await findKeptNonEmpty(nodes, mergeBase, changes, identities);
  const objects = new Map<Ino, RebasedObject>();
  const inline = new SmallBytes();
  const { transitions, sources } = ownTransitions(changes, identities, nonEmpty);
  const ours = await apply(mergeBase, transitions, async (state) => {
    const object = sources.get(state);
    if (object === undefined) return state.record;
    const record = await withContent(context, object, state.record, data);
    objects.set(object.ino, { id: state.id, record: keptIn(inline, record), names: state.names });
    return record;
  });
  await refuseCycles(nodes, ours, transitions);
  // Directories that the epoch deletes but that hold others' objects are still in our tree.
  const back = [...nonEmpty.values()].flatMap(({ id, names }) => names.map((place) => changeAt(place, undefined, id)));
  const aside = parted.flatMap(({ ino, id = objects.get(ino)?.id, from, to }) => [
    changeAt(from, id, undefined),
    changeAt(to, undefined, id),
  ]);
  const alive = [...(await resurrectedIn(nodes, ours, resurrected))];
  const unseen = allOf([
    mergeBase === reference ? [] : await differences(nodes, reference, mergeBase),
    await strangersIn(nodes, ours, joined(changes, identities), objects),
    [...back, ...aside, ...tornFrom(epoch, sealed, objects)],
    [...rehomed(sealed, changes, objects), ...lostNames(sealed, changes)],
    alive.flatMap(([, { id, names }]) => names.map((place) => changeAt(place, undefined, id))),
  ]);
  for (const [ino, object] of alive) objects.set(ino, object);
  for (const [ino, object] of dropped) objects.set(ino, object);
  return { mergeBase, ours, objects, unseen, gone, torn };
}

const WHOLE = { dropped: new Map<Ino, RebasedObject>(), gone: new Set<Cid>(), torn: 0 };

/**
 * Directories that the epoch made where others had made one, or in place of one that it removed. They are one directory
 * now, including what others put into it, unseen here.
 */
function joined({ objects }: ChangeSet, { byIno }: Identities): FileId[] {
  const made = objects.filter(({ id, record }) => id === undefined && record?.type === "directory");
  return made.flatMap(({ ino }) => byIno.get(ino)?.before?.id ?? []);
}

/** The directories that the epoch deleted and that still exist. */
async function resurrectedIn(
  nodes: NodeStore,
  tree: Cid,
  resurrected: ReadonlyMap<Ino, FileId>,
): Promise<ReadonlyMap<Ino, RebasedObject>> {
  const found = new Map<Ino, RebasedObject>();
  for (const [ino, id] of resurrected) {
    const self = await readSelf(nodes, tree, id);
    if (self?.kind === "directory" && self.place !== undefined)
      found.set(ino, { id, record: self.record, names: [self.place] });
  }
  return found;
}

/** The names of files whose contents are gone: a torn file's are others' again, or lead to nothing, and its copy has new ones. */
function tornFrom(
  { objects, directories }: ChangeSet,
  sealed: ChangeSet,
  copies: ReadonlyMap<Ino, RebasedObject>,
): BaseChange[] {
  if (sealed.objects === objects) return [];
  return objects.flatMap(({ ino, id, names }, index) => {
    const replaced = sealed.objects[index];
    if (id === undefined || (replaced?.id === id && replaced.names.length === names.length)) return [];
    const copy = copies.get(ino);
    const [before, after] = copy === undefined ? [id, undefined] : [copy.id, id];
    const left = names.flatMap((at) => {
      const parent = directories.get(at.parent) ?? copies.get(at.parent)?.id;
      return parent === undefined ? [] : [changeAt({ parent, name: at.name }, before, after)];
    });
    return [...left, ...(copy?.names ?? []).map((place) => changeAt(place, undefined, copy?.id))];
  });
}

/** The orphans that moved to the root directory. */
function rehomed(sealed: ChangeSet, changes: ChangeSet, objects: ReadonlyMap<Ino, RebasedObject>): BaseChange[] {
  if (changes === sealed) return [];
  const inRoot = new Map(
    sealed.objects.map(({ ino, names }) => [ino, names.filter(({ parent }) => parent === ROOT_INO)]),
  );
  return changes.objects.flatMap(({ ino, names }) => {
    const fresh = names.filter(({ parent, name }) => {
      return parent === ROOT_INO && inRoot.get(ino)?.some((known) => known.name === name) !== true;
    });
    return fresh.map(({ name }) => changeAt({ parent: ROOT_ID, name }, undefined, objects.get(ino)?.id));
  });
}

/** Names of files that went with their directories. */
function lostNames({ objects, directories }: ChangeSet, changes: ChangeSet): BaseChange[] {
  if (changes.objects === objects) return [];
  const textOf = ({ parent, name }: ChangedObject["names"][number]) => `${parent}/${name}`;
  const left = new Map(changes.objects.map(({ ino, names }) => [ino, new Set(names.map(textOf))]));
  return objects.flatMap(({ ino, id, names }) => {
    return names.flatMap((at) => {
      const parent = directories.get(at.parent);
      const isLeft = left.get(ino)?.has(textOf(at)) === true;
      return isLeft || parent === undefined ? [] : [changeAt({ parent, name: at.name }, id, undefined)];
    });
  });
}

/** Entries of these directories that the epoch did not put there. */
async function strangersIn(
  nodes: NodeStore,
  tree: Cid,
  directories: readonly FileId[],
  objects: ReadonlyMap<Ino, RebasedObject>,
): Promise<BaseChange[] | undefined> {
  if (directories.length === 0) return [];
  return entriesOf(nodes, tree, directories, new Set([...objects.values()].map(({ id }) => id)));
}

/** The epoch with each of its objects at a place of its own, in a directory that the base will have. */
async function placeEpoch(nodes: NodeStore, reference: Cid, sealed: ChangeSet, olderTrees: OlderTrees) {
  const { changes: alive, resurrected } = await resurrectDirectories(nodes, reference, sealed);
  const { changes, parted } = await resolveNameCollisions(nodes, reference, alive);
  const kept = keptStates(changes, parted);
  await preloadRows(nodes, reference, changes, kept);
  const { found, incomplete } = await lostDirectories(nodes, reference, changes, kept, olderTrees);
  if (!incomplete && !hasHomeless(changes)) return { changes, parted, resurrected, kept, lost: found };
  const housed = await rehomeOrphans(nodes, reference, changes, found);
  const states = keptStates(housed, parted);
  // Orphans that the epoch deleted stay where others have them. That may be inside a directory that the epoch has inside them.
  const { found: lost } = await lostDirectories(nodes, reference, housed, states, olderTrees);
  return { changes: housed, parted, resurrected, kept: states, lost };
}

/** Whether an object's parent is not a directory, as where a faulty writer overwrote a directory's record with a file's. */
function hasHomeless({ objects, directories }: ChangeSet): boolean {
  const living = new Set(objects.filter(survives).map(({ ino }) => ino));
  return objects.some(({ names }) => names.some(({ parent }) => !directories.has(parent) && !living.has(parent)));
}

function keptStates(changes: ChangeSet, parted: readonly NameCollision[]): KeptState[] {
  const formerly = groupBy(parted, ({ ino }) => ino);
  return changes.objects.flatMap((object) => {
    const state = keptState(object);
    const left = formerly.get(object.ino)?.map(({ from }) => from);
    return state === undefined ? [] : [left === undefined ? state : { ...state, formerly: left }];
  });
}

function ownIds(changes: ChangeSet, states: readonly ObjectState[]): OwnIds {
  const directories = new Set(changes.directories.values());
  for (const { names } of states) for (const { parent } of names) directories.add(parent);
  const places = () => epochPlaces(changes, states);
  return { objects: new Set(states.map(({ id }) => id)), directories, places };
}

function changeAt(place: Place, before: FileId | undefined, after: FileId | undefined): BaseChange {
  return { kind: "dentry", ...place, before, after };
}

/** Preloads nodes that will be read one by one, as far as they are known before ids are given. */
async function preloadRows(
  nodes: NodeStore,
  tree: Cid,
  changes: ChangeSet,
  kept: readonly ObjectState[],
): Promise<void> {
  const keys = kept.flatMap((state) => rowKeysOf(state).map(({ key }) => key));
  for (const { names } of changes.objects) {
    for (const { parent, name } of names) {
      const id = changes.directories.get(parent);
      if (id !== undefined) keys.push(dentryKey(id, name));
    }
  }
  keys.sort(Buffer.compare);
  for (let from = 0; from < keys.length; from += nodes.batch) {
    await preload(nodes, tree, keys.slice(from, from + nodes.batch));
  }
}

async function* noTrees(): AsyncGenerator<Cid> {}

/** What the epoch itself does to the merge's base; `sources` leads from each state back to its object. */
function ownTransitions(
  changes: ChangeSet,
  identities: Identities,
  nonEmpty: ReadonlyMap<FileId, ObjectState>,
): { transitions: Transition[]; sources: ReadonlyMap<ObjectState, ChangedObject> } {
  const transitions: Transition[] = [];
  const sources = new Map<ObjectState, ChangedObject>();
  for (const object of changes.objects) {
    const identity = identities.byIno.get(object.ino);
    if (identity === undefined || object.record === undefined) {
      const before = keptState(object);
      if (before === undefined || identities.replaced.has(before.id)) continue;
      transitions.push({ before, after: nonEmpty.get(before.id) });
      continue;
    }
    const { id, names, before } = identity;
    const { type } = object.record;
    // A directory that was made where there is one just like it is that one, unchanged.
    const isMadeHere = type === "directory" && object.id === undefined && before !== undefined;
    const record = isMadeHere && sameButCtime(object.record, before.record) ? before.record : object.record;
    const after: ObjectState = { id, type, names, record };
    sources.set(after, object);
    transitions.push({ before, after });
  }
  return { transitions, sources };
}

async function withContent(
  context: RebaseContext,
  object: ChangedObject,
  given: FileRecord,
  data: DataReader,
): Promise<FileRecord> {
  const { content: source, sink, contentConfig } = context;
  if (object.content.kind === "same") return given;
  const { base, baseSize, segments, ctimeNs } = object.content;
  const read: ReadData = (...range) => data.readData(object.ino, ...range);
  const [first] = segments;
  const early = first?.from === "data" ? await data.earlyCuts?.(object.ino, first.epoch) : undefined;
  const edit = (pieces: readonly Segment[], size: number) =>
    editContent(source, sink, contentConfig, base, baseSize, pieces, size, read, early);
  const { record, content } = await steadily(object.ino, given, segments, data, edit);
  if (ctimeNs === undefined || (record === given && sameContent(content, given.content))) return { ...record, content };
  return { ...record, content, ctimeNs };
}

/** Reads a file again while others change it. The record is the given one unless the file has other attributes by then. */
async function steadily(
  ino: Ino,
  given: FileRecord,
  segments: readonly Segment[],
  data: DataReader,
  edit: (pieces: readonly Segment[], size: number) => Promise<Content>,
): Promise<{ record: FileRecord; content: Content }> {
  let [record, pieces] = [given, segments];
  for (;;) {
    const [edited] = await Promise.allSettled([edit(pieces, record.size)]);
    const seen = await data.seen?.(ino, record.size);
    if (seen !== undefined) record = seenAs(record, seen);
    if (seen?.again === true) {
      const { size } = seen;
      pieces = size === 0 ? [] : [{ offset: 0, length: size, from: "data", epoch: segments[0]?.epoch ?? 0 }];
    } else if (edited.status === "rejected") throw edited.reason;
    else return { record, content: edited.value };
  }
}

function seenAs(record: FileRecord, { size, mode, uid, gid, mtimeNs }: SeenFile): FileRecord {
  const isAlike = record.size === size && record.mode === mode && record.mtimeNs === mtimeNs;
  return isAlike && record.uid === uid && record.gid === gid ? record : { ...record, size, mode, uid, gid, mtimeNs };
}

function keptIn(inline: SmallBytes, record: FileRecord): FileRecord {
  const { content } = record;
  return content.kind === "inline" ? { ...record, content: { ...content, bytes: inline.keep(content.bytes) } } : record;
}
