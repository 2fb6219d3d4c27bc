/** A tree with unsealed changes, in memory: commands without a mount edit it. */
import { type Cid, type FileId, type FileName, type Ino, ROOT_ID, ROOT_INO } from "../../base/ids.ts";
import { SynclineError } from "../../base/errors.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { dentryId } from "../../format/files/rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { ChangedObject, ContentChange } from "../../fstree/change-set.ts";
import { liesInItself, listDirectory, readDentry, readObject, type TreeObject } from "../../fstree/fs-reader.ts";
import type { Place } from "../../fstree/object-rows.ts";

/** The intended state of an object. Changed only through its tree. */
export interface Draft {
  readonly ino: Ino;
  /** Undefined: made here. */
  readonly base: TreeObject | undefined;
  readonly record: FileRecord;
  readonly names: readonly DraftName[];
  readonly content: ContentChange;
}

export interface DraftName {
  readonly parent: Ino;
  readonly name: FileName;
}

type MutableDraft = { -readonly [Key in keyof Draft]: Key extends "names" ? DraftName[] : Draft[Key] };

export class DraftTree {
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #drafts = new Map<Ino, MutableDraft>();
  readonly #changed = new Set<Ino>();
  readonly #inos = new Map<FileId, Ino>([[ROOT_ID, ROOT_INO]]);
  readonly #ids = new Map<Ino, FileId>([[ROOT_INO, ROOT_ID]]);
  /** Names that were added (an inode) or removed (undefined). */
  readonly #entries = new Map<Ino, Map<FileName, Ino | undefined>>();
  #lastIno: number = ROOT_INO;

  constructor(nodes: NodeStore, tree: Cid) {
    this.#nodes = nodes;
    this.#tree = tree;
  }

  async root(): Promise<Draft> {
    const known = this.#drafts.get(ROOT_INO);
    if (known !== undefined) return known;
    const object = await readObject(this.#nodes, this.#tree, ROOT_ID);
    if (object === undefined) throw new SynclineError("format_invalid", "The tree has no root directory.");
    return this.#open(object);
  }

  /** What a name in a directory leads to. */
  async child(directory: Draft, name: FileName): Promise<Draft | undefined> {
    const entries = this.#entries.get(directory.ino);
    if (entries?.has(name)) {
      const ino = entries.get(name);
      return ino === undefined ? undefined : this.#drafts.get(ino);
    }
    if (directory.base === undefined) return undefined;
    const place: Place = { parent: directory.base.id, name };
    const dentry = await readDentry(this.#nodes, this.#tree, place);
    if (dentry === undefined) return undefined;
    const object = await readObject(this.#nodes, this.#tree, dentryId(place.parent, name, dentry), place);
    if (object === undefined) throw new SynclineError("format_invalid", "A name refers to a missing object.");
    return this.#open(object);
  }

  /** The names in a directory, which may be changed during the iteration. */
  async *names(directory: Draft): AsyncGenerator<FileName> {
    const given = [...(this.#entries.get(directory.ino) ?? [])];
    for (const [name, ino] of given) if (ino !== undefined) yield name;
    if (directory.base === undefined) return;
    const changed = new Set(given.map(([name]) => name));
    for await (const { name } of listDirectory(this.#nodes, this.#tree, directory.base.id)) {
      if (!changed.has(name)) yield name;
    }
  }

  /** The paths of an object's names, with the changes so far. Throws `format_invalid` for a cycle of directories. */
  async pathsOf(draft: Draft): Promise<FileName[][]> {
    const paths: FileName[][] = [];
    for (const { parent, name } of draft.names) paths.push([...(await this.#pathOf(parent)), name]);
    return paths;
  }

  create(directory: Draft, name: FileName, record: FileRecord): Draft {
    const ino = this.#nextIno();
    this.#drafts.set(ino, { ino, base: undefined, record, names: [], content: { kind: "same" } });
    const draft = this.#change(ino);
    this.link(draft, directory, name);
    return draft;
  }

  link(draft: Draft, directory: Draft, name: FileName): void {
    if (directory.record.type !== "directory") throw new SynclineError("internal", "A name was given below a file.");
    this.#change(draft.ino).names.push({ parent: directory.ino, name });
    this.#setEntry(directory.ino, name, draft.ino);
  }

  /** Removes one name. A directory must be empty. */
  unlink(draft: Draft, directory: Draft, name: FileName): void {
    const { names } = this.#change(draft.ino);
    const index = names.findIndex((each) => each.parent === directory.ino && each.name === name);
    if (index >= 0) names.splice(index, 1);
    this.#setEntry(directory.ino, name, undefined);
  }

  setRecord(draft: Draft, record: FileRecord): void {
    this.#change(draft.ino).record = record;
  }

  setContent(draft: Draft, content: ContentChange): void {
    this.#change(draft.ino).content = content;
  }

  /**
   * Undoes the changes of a file's record and content. False, and nothing is done, if it has several names, or took its
   * name from another object.
   */
  async takeBack(ino: Ino): Promise<boolean> {
    const draft = this.#change(ino);
    const [only, ...others] = draft.names;
    if (only === undefined || others.length > 0) return false;
    if (draft.base === undefined) {
      const parent = this.#ids.get(only.parent);
      const before = parent && (await readDentry(this.#nodes, this.#tree, { parent, name: only.name }));
      if (before !== undefined) return false;
      draft.names = [];
      this.#setEntry(only.parent, only.name, undefined);
    } else draft.record = draft.base.record;
    draft.content = { kind: "same" };
    return true;
  }

  /** All changes, in the form of an epoch. */
  changes(): { objects: ChangedObject[]; directories: Map<Ino, FileId> } {
    const objects: ChangedObject[] = [];
    for (const ino of this.#changed) {
      const draft = this.#change(ino);
      const { base, names, record, content } = draft;
      const exists = names.length > 0 || ino === ROOT_INO;
      if (!exists && base === undefined) continue;
      objects.push({
        ino,
        id: base?.id,
        base: base?.record,
        baseNames: base?.names ?? [],
        names: [...names],
        record: exists ? record : undefined,
        content: exists ? content : { kind: "same" },
      });
    }
    return { objects, directories: new Map(this.#ids) };
  }

  async #pathOf(directory: Ino): Promise<FileName[]> {
    const names: FileName[] = [];
    const seen = new Set<Ino>();
    for (let at = directory; at !== ROOT_INO;) {
      const id = this.#ids.get(at);
      const object = id === undefined ? undefined : await readObject(this.#nodes, this.#tree, id);
      const place = (this.#drafts.get(at) ?? (object && this.#open(object)))?.names[0];
      if (place === undefined || seen.has(at)) throw liesInItself();
      seen.add(at);
      names.push(place.name);
      at = place.parent;
    }
    return names.reverse();
  }

  #open(object: TreeObject): Draft {
    const ino = this.#inoOf(object.id);
    const known = this.#drafts.get(ino);
    if (known !== undefined) return known;
    const names = object.names.map(({ parent, name }) => ({ parent: this.#inoOf(parent), name }));
    const draft: MutableDraft = { ino, base: object, record: object.record, names, content: { kind: "same" } };
    this.#drafts.set(ino, draft);
    return draft;
  }

  #inoOf(id: FileId): Ino {
    const known = this.#inos.get(id);
    if (known !== undefined) return known;
    const ino = this.#nextIno();
    this.#inos.set(id, ino);
    this.#ids.set(ino, id);
    return ino;
  }

  #nextIno(): Ino {
    return ++this.#lastIno as Ino;
  }

  #change(ino: Ino): MutableDraft {
    const draft = this.#drafts.get(ino);
    if (draft === undefined) throw new SynclineError("internal", `Inode ${ino} is not in this draft.`);
    this.#changed.add(ino);
    return draft;
  }

  #setEntry(directory: Ino, name: FileName, ino: Ino | undefined): void {
    const entries = this.#entries.get(directory) ?? new Map<FileName, Ino | undefined>();
    entries.set(name, ino);
    this.#entries.set(directory, entries);
  }
}
