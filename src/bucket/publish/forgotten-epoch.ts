/**
 * An epoch of ours that the bucket includes although the history has lost its commit, or the root below it. What an overlay
 * needs of it is worked out from the oldest root left that includes it: that root may also have others' later changes.
 */
import type { Cid, FileId, Ino, WriterId } from "../../base/ids.ts";
import type { ChangedObject, ChangeSet } from "../../fstree/change-set.ts";
import { lookup, readObject, type TreeObject } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";
import { parentsFirst } from "../../fstree/rebase/identities.ts";
import type { RebasedObject } from "../../fstree/rebase/rebase.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import { birthId, splitId } from "../../format/files/keys.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { VerifiedCommit } from "../verified-commit.ts";
import type { EpochTree, Workspace } from "./workspace.ts";

export interface Forgotten {
  readonly writer: WriterId;
  readonly changes: ChangeSet;
  readonly apart: (changes: ChangeSet) => Workspace;
}

/** `oldest`: the oldest root left that includes the epoch. Throws as reading does. */
export async function forgottenEpoch(
  { writer, changes, apart }: Forgotten,
  oldest: VerifiedCommit,
  newest: VerifiedCommit,
): Promise<EpochTree> {
  const { tree } = oldest.body;
  const whole = apart(changes);
  const there = await versionsIn(whole.nodes, tree, changes);
  const sealed = withVersions(changes, there, await whole.isBaseGone(newest));
  const { built, nodes, baseGone } = await apart(sealed).alone(oldest, newest);
  const renaming = new Renaming(nodes, tree, writer, changes, built.objects);
  const objects = await renaming.objects((ino) => there.get(ino));
  return { built, objects, tree, conflicts: [], nodes, baseGone };
}

/** Changed files that the tree has exactly as sealed. */
async function versionsIn(nodes: NodeStore, tree: Cid, { objects }: ChangeSet): Promise<ReadonlyMap<Ino, FileRecord>> {
  const found = new Map<Ino, FileRecord>();
  for (const { ino, id, record, content, baseNames } of objects) {
    if (id === undefined || record === undefined || content.kind === "same") continue;
    const object = await readObject(nodes, tree, id, baseNames[0]);
    const version = asSealed(object, record);
    if (version !== undefined) found.set(ino, version.record);
  }
  return found;
}

/** Need not be cut again. If the epoch's base is gone, what they were made from may be gone, too. */
function withVersions(changes: ChangeSet, there: ReadonlyMap<Ino, FileRecord>, baseGone: boolean): ChangeSet {
  const objects = changes.objects.map((object): ChangedObject => {
    const version = there.get(object.ino);
    if (version === undefined) return object;
    return { ...object, record: baseGone ? { ...version, ...NO_BYTES } : version, content: { kind: "same" } };
  });
  return { ...changes, objects };
}

const NO_BYTES: Pick<FileRecord, "content" | "size"> = { content: { kind: "empty" }, size: 0 };

/**
 * The epoch's objects under the ids that they have in a tree that includes the epoch. New ones may have other ids there than
 * in the epoch by itself: a merge may have changed them, and here the tree has them already.
 */
class Renaming {
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #writer: WriterId;
  readonly #changes: ChangeSet;
  readonly #built: ReadonlyMap<Ino, RebasedObject>;
  /** From ids in the epoch's own tree. */
  readonly #ids = new Map<FileId, FileId>();
  readonly #taken: Set<FileId>;

  constructor(
    nodes: NodeStore,
    tree: Cid,
    writer: WriterId,
    changes: ChangeSet,
    built: ReadonlyMap<Ino, RebasedObject>,
  ) {
    this.#nodes = nodes;
    this.#tree = tree;
    this.#writer = writer;
    this.#changes = changes;
    this.#built = built;
    this.#taken = new Set(changes.objects.flatMap(({ id }) => (id === undefined ? [] : [id])));
  }

  async objects(versionOf: (ino: Ino) => FileRecord | undefined): Promise<ReadonlyMap<Ino, RebasedObject>> {
    const renamed = new Map(this.#built);
    for (const changed of parentsFirst(this.#changes)) {
      const { ino } = changed;
      const own = this.#built.get(ino);
      if (own === undefined) continue;
      const found = changed.id === undefined ? await this.#bornIn(own, changed) : undefined;
      const id = changed.id ?? found?.id ?? own.id;
      // A file that lost bytes of its base was built as a conflict copy, which never was in the bucket.
      const isApart = changed.id !== undefined && changed.id !== own.id;
      const names = (isApart ? this.#sealedNames(changed) : own.names).map((place) => this.#renewed(place));
      const { conflict } = changed.record ?? own.record;
      const version = asSealed(found, own.record)?.record ?? versionOf(ino);
      const record = version ?? (isApart ? { ...own.record, conflict } : own.record);
      if (id !== own.id) this.#ids.set(own.id, id);
      this.#taken.add(id);
      renamed.set(ino, { id, record, names });
    }
    return renamed;
  }

  /** A new object as the tree has it; undefined if others removed it there. */
  async #bornIn({ id, record, names }: RebasedObject, changed: ChangedObject): Promise<TreeObject | undefined> {
    const [birthplace] = names;
    if (birthplace === undefined) return undefined;
    const place = this.#renewed(birthplace);
    const there = await lookup(this.#nodes, this.#tree, place);
    const here = there === undefined || this.#taken.has(there.id) ? undefined : there;
    if (asSealed(here, record) !== undefined) return here;
    // If its directory is gone or has another id, it was built under another id, too.
    for (const born of this.#births(id, [birthplace, place, ...this.#sealedNames(changed)], record)) {
      // An object that was born twice was split, and ours may have got the new id.
      const split = await this.#at(splitId(place.parent, born, this.#writer, this.#changes.epoch));
      if (split !== undefined) return split;
      const found = this.#taken.has(born) && born !== id ? undefined : await this.#at(born, birthplace);
      if (found !== undefined && (born === id || looksAlike(found, record))) return found;
      // If others also changed its entries, its times differ. What is made in it later must not lose its place.
      if (found?.record.type === "directory") return found;
    }
    // It became a directory that others had there.
    return record.type === "directory" && here?.record.type === "directory" ? here : undefined;
  }

  /** The ids that an object born at these places may have had, its own first. The tree may have it elsewhere by now. */
  *#births(id: FileId, places: readonly Place[], { type }: FileRecord): Generator<FileId> {
    yield id;
    for (const { parent, name } of places) {
      const births = Array.from({ length: GENERATIONS }, (_, generation) => birthId(parent, name, type, generation));
      const own = births.indexOf(id);
      yield* births.slice(0, own < 0 ? 1 : own).toReversed();
    }
  }

  #at(id: FileId, hint?: Place): Promise<TreeObject | undefined> {
    return readObject(this.#nodes, this.#tree, id, hint);
  }

  #sealedNames({ names }: ChangedObject): Place[] {
    return names.flatMap(({ parent, name }) => {
      const id = this.#changes.directories.get(parent) ?? this.#built.get(parent)?.id;
      return id === undefined ? [] : [{ parent: id, name }];
    });
  }

  #renewed({ parent, name }: Place): Place {
    return { parent: this.#ids.get(parent) ?? parent, name };
  }
}

/** Objects that were born at one place, one after the other, and still exist: rarely more than two. */
const GENERATIONS = 8;

/** The object if it is as the epoch left it: changed bytes would have other times. */
function asSealed(object: TreeObject | undefined, sealed: FileRecord): TreeObject | undefined {
  if (object === undefined || !looksAlike(object, sealed)) return undefined;
  return sameRecord(object.record, { ...sealed, content: object.record.content }) ? object : undefined;
}

/** A move changes the ctime only. */
function looksAlike({ record }: TreeObject, { type, size, mtimeNs }: FileRecord): boolean {
  return record.type === type && record.size === size && record.mtimeNs === mtimeNs;
}
