/**
 * Checks one tree as a filesystem: each row against those that must agree with it (docs/reference/formats.md, Ids and keys;
 * docs/design/merge.md, law 7). An id's rows are adjacent, so one pass in key order suffices, with point reads for others.
 */
import { unless } from "../../base/unless.ts";
import { type Cid, type FileId, type FileName, ROOT_ID } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import type { ContentSource } from "../../content/source.ts";
import { checkLength } from "../../content/read.ts";
import { checkList, type LengthOf } from "../../content/walk.ts";
import { isDamage, SynclineError } from "../../base/errors.ts";
import type { Totals } from "../../format/commits/commit-body.ts";
import { backrefKey, ID_BYTES, KIND_BACKREF, KIND_SELF, kindRange, parseKey } from "../../format/files/keys.ts";
import type { Key } from "../../format/files/keys.ts";
import { linkedValues, targetOf, xattrsOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { checkBackref, decodeDentry, decodeSelf, dentryId } from "../../format/files/rows.ts";
import type { Dentry, SelfRow } from "../../format/files/rows.ts";
import type { Entry } from "../../tree/entry.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { get, peekRange, range } from "../../tree/read.ts";
import { pathOfDirectory, readDentry, readSelf, whenLoaded } from "../../fstree/fs-reader.ts";
import { type Place, samePlace } from "../../fstree/object-rows.ts";
import { addTotals, NO_TOTALS, totalsOfRow } from "../totals.ts";
import { pathText } from "./damaged-paths.ts";
import { damageItem, type DamageItem } from "./report.ts";

/** What a check reads from. */
export interface CheckSources {
  readonly nodes: NodeStore;
  readonly content: ContentSource;
  /** Blocks of long values. */
  readonly blocks: BlockReader;
  /** Of chunks, so that they need not be read again. Absent: their lengths are not checked. */
  readonly lengthOf?: LengthOf;
}

/**
 * Everything wrong with a tree; nothing for a valid filesystem. Skips contents that `isDamaged` reports as known damage.
 * Throws when a node cannot be read.
 */
export async function* checkTree(
  sources: CheckSources,
  tree: Cid,
  totals: Totals,
  isDamaged: (cid: Cid) => boolean = () => false,
): AsyncGenerator<DamageItem> {
  const check = new TreeCheck(sources, tree, isDamaged);
  for await (const entry of range(sources.nodes, tree)) yield* check.row(entry);
  yield* check.finish(totals);
}

/** The findings about the object whose rows are being read. */
interface ObjectSoFar {
  readonly id: FileId;
  self: SelfRow | undefined;
  entries: number;
  subdirs: number;
  backrefs: number;
}

class TreeCheck {
  readonly #nodes: NodeStore;
  readonly #sources: CheckSources;
  readonly #tree: Cid;
  readonly #isDamaged: (cid: Cid) => boolean;
  /** Directories that lead up to the root. */
  readonly #connected = new Set<FileId>([ROOT_ID]);
  #totals: Totals = NO_TOTALS;
  #hasRoot = false;
  #object: ObjectSoFar | undefined;

  constructor(sources: CheckSources, tree: Cid, isDamaged: (cid: Cid) => boolean) {
    this.#nodes = sources.nodes;
    this.#sources = sources;
    this.#tree = tree;
    this.#isDamaged = isDamaged;
  }

  async *row(entry: Entry): AsyncGenerator<DamageItem> {
    const key = parsed(entry.key);
    if (key instanceof SynclineError) {
      yield damageItem(key.message, { path: await this.#pathOf(idAt(entry.key)) });
      return;
    }
    if (key.id !== this.#object?.id) {
      yield* this.#finishObject();
      this.#object = { id: key.id, self: undefined, entries: 0, subdirs: 0, backrefs: 0 };
    }
    try {
      yield* this.#checkRow(key, entry, this.#object);
      this.#totals = addTotals(this.#totals, totalsOfRow(entry));
    } catch (error) {
      if (!isDamage(error)) throw error;
      yield await this.#damage(placeOf(key), error.message);
    }
  }

  async *finish(totals: Totals): AsyncGenerator<DamageItem> {
    yield* this.#finishObject();
    if (!this.#hasRoot) yield damageItem("The tree has no root directory.", { path: "/" });
    const { files, directories, bytes } = this.#totals;
    if (files !== totals.files || directories !== totals.directories || bytes !== totals.bytes) {
      const [stated, found] = [totals, this.#totals].map((each) => JSON.stringify(each));
      yield damageItem(`The commit's totals say ${stated}, but the tree holds ${found}.`);
    }
  }

  async *#checkRow(key: Key, entry: Entry, object: ObjectSoFar): AsyncGenerator<DamageItem> {
    switch (key.kind) {
      case "self":
        object.self = decodeSelf(key.id, entry);
        yield* this.#checkSelf(key.id, object.self);
        break;
      case "dentry":
        object.entries++;
        yield* this.#checkDentry({ parent: key.id, name: key.name }, entry, object);
        break;
      case "backref":
        object.backrefs++;
        checkBackref(entry);
        yield* this.#checkBackref(key, object);
        break;
    }
  }

  async *#checkSelf(id: FileId, self: SelfRow): AsyncGenerator<DamageItem> {
    if (self.kind === "file") return yield* this.#checkContent(undefined, self.record);
    if (self.place === undefined) this.#hasRoot = true;
    if (self.place === undefined) return;
    const dentry = await readDentry(this.#nodes, this.#tree, self.place);
    if (dentry?.kind !== "reference" || dentry.id !== id || dentry.type !== "directory") {
      yield await this.#damage(self.place, `Directory ${id} claims this name, but the name leads elsewhere.`);
    }
    if (!(await this.#isConnected(id)))
      yield await this.#damage(self.place, `Directory ${id} is not connected to the root.`);
  }

  async *#checkDentry(place: Place, entry: Entry, object: ObjectSoFar): AsyncGenerator<DamageItem> {
    if (object.entries === 1 && object.self?.kind !== "directory")
      yield await this.#damage(place, `The name's parent ${place.parent} is not a directory.`);
    const dentry = decodeDentry(place.parent, place.name, entry);
    if (dentry.kind === "reference" && dentry.type === "directory") object.subdirs++;
    const wrong =
      dentry.kind === "reference" ? await this.#wrongTarget(place, dentry) : await this.#wrongId(place, dentry);
    if (wrong !== undefined) yield await this.#damage(place, wrong);
    if (dentry.kind === "record") yield* this.#checkContent(place, dentry.record);
  }

  /** Any disagreement between a reference and its target 00 row. */
  async #wrongTarget(place: Place, { id, type }: Dentry & { kind: "reference" }): Promise<string | undefined> {
    const self = await readSelf(this.#nodes, this.#tree, id);
    if (self === undefined) return `The name refers to ${id}, which does not exist.`;
    if (self.record.type !== type) return `The name has type ${type}, but ${id} is a ${self.record.type}.`;
    if (self.kind === "file")
      return (await this.#hasBackref(id, place)) ? undefined : `A back-reference of ${id} is missing.`;
    const here = self.place !== undefined && samePlace(self.place, place);
    return here ? undefined : `Directory ${id} has a second name here.`;
  }

  /** What is wrong with the id of a single-name file. */
  async #wrongId(place: Place, dentry: Dentry & { kind: "record" }): Promise<string | undefined> {
    const id = dentryId(place.parent, place.name, dentry);
    if (dentry.stated === undefined) {
      const { from } = kindRange(id, KIND_SELF);
      const { to } = kindRange(id, KIND_BACKREF);
      const others = await whenLoaded(this.#nodes, () => peekRange(this.#nodes, this.#tree, from, to, 1));
      return others.length === 0 ? undefined : `Another object also has the id ${id}.`;
    }
    if ((await readSelf(this.#nodes, this.#tree, id)) !== undefined) return `Another object also has the id ${id}.`;
    return (await this.#hasBackref(id, place)) ? undefined : `The back-reference of ${id} is missing.`;
  }

  async *#checkBackref(key: Key & { kind: "backref" }, object: ObjectSoFar): AsyncGenerator<DamageItem> {
    const { id } = key;
    const place: Place = { parent: key.parent, name: key.name };
    const dentry = await readDentry(this.#nodes, this.#tree, place);
    const leadsHere = dentry !== undefined && dentryId(place.parent, place.name, dentry) === id;
    if (!leadsHere)
      yield await this.#damage(place, `A back-reference claims this name for ${id}, but the name leads elsewhere.`);
    else if ((dentry.kind === "reference") !== (object.self !== undefined))
      yield await this.#damage(place, `The name and the self-record of ${id} disagree on whether it is hard-linked.`);
    else if (dentry.kind === "record" && dentry.stated === undefined)
      yield await this.#damage(place, `File ${id} has a back-reference at its original name.`);
  }

  async *#finishObject(): AsyncGenerator<DamageItem> {
    const object = this.#object;
    if (object === undefined) return;
    const { id, self, backrefs, subdirs } = object;
    const wrong = wrongCounts(self, backrefs, subdirs);
    if (wrong === undefined) return;
    const path = self?.kind === "directory" ? await this.#pathOf(id) : undefined;
    yield damageItem(`Object ${id}: ${wrong}`, { path });
  }

  /** Checks that chunks, their lists and long values match the record. */
  async *#checkContent(place: Place | undefined, record: FileRecord): AsyncGenerator<DamageItem> {
    const { content, blocks, lengthOf } = this.#sources;
    const list = record.content.kind === "list" ? record.content.cid : undefined;
    const chunk = record.content.kind === "chunk" ? record.content.cid : undefined;
    const values = linkedValues(record);
    const linked = [list, chunk, ...values].filter((cid) => cid !== undefined);
    if (linked.length === 0 || linked.some((cid) => this.#isDamaged(cid))) return;
    try {
      const data = list && (await checkList(content, list, record.size, lengthOf));
      if (record.content.kind === "list" && (record.content.dataBytes ?? data) !== data)
        yield await this.#damage(place, "The record misstates how much of the file is in holes.");
      // A file may be longer than its chunk: the rest is a hole.
      if (chunk !== undefined) checkLength(lengthOf?.(chunk) ?? 0, record.size);
      if (values.length === 0) return;
      const found = await blocks.getMany(values);
      const peek = (cid: Cid) => found.get(cid) ?? new Uint8Array();
      xattrsOf(record, peek);
      targetOf(record, peek);
    } catch (error) {
      if (!isDamage(error)) throw error;
      yield await this.#damage(place, error.message, list ?? chunk);
    }
  }

  async #hasBackref(id: FileId, { parent, name }: Place): Promise<boolean> {
    return (await get(this.#nodes, this.#tree, backrefKey(id, parent, name))) !== undefined;
  }

  async #isConnected(id: FileId): Promise<boolean> {
    const climbed = new Set<FileId>();
    for (let at = id; !this.#connected.has(at);) {
      const self = await readSelf(this.#nodes, this.#tree, at);
      if (self?.kind !== "directory" || self.place === undefined || climbed.has(at)) return false;
      climbed.add(at);
      at = self.place.parent;
    }
    for (const passed of climbed) this.#connected.add(passed);
    return true;
  }

  async #damage(place: Place | undefined, what: string, cid?: Cid): Promise<DamageItem> {
    const path = place && (await this.#pathOf(place.parent, place.name));
    return damageItem(what, { path, cid });
  }

  /** The path of a directory, or of a name in it; undefined when it is unknown. */
  async #pathOf(directory: FileId, ...names: FileName[]): Promise<string | undefined> {
    return unless(isDamage, async () => {
      const path = await pathOfDirectory(this.#nodes, this.#tree, directory);
      return path && pathText([...path, ...names]);
    });
  }
}

/** The key, or what is wrong with it. */
function parsed(key: Uint8Array): Key | SynclineError {
  try {
    return parseKey(key);
  } catch (error) {
    if (isDamage(error)) return error;
    throw error;
  }
}

/** The id at the start of a key, even of an invalid one. */
function idAt(key: Uint8Array): FileId {
  return Buffer.from(key).toString("hex", 0, ID_BYTES) as FileId;
}

function placeOf(key: Key): Place | undefined {
  if (key.kind === "self") return undefined;
  return { parent: key.kind === "dentry" ? key.id : key.parent, name: key.name };
}

/** How an object's row counts differ from its nlink and subdirs. Undefined: they do not. */
function wrongCounts(self: SelfRow | undefined, backrefs: number, subdirs: number): string | undefined {
  if (self?.kind === "directory") {
    if (backrefs > 0) return "it is a directory but has back-references.";
    return self.subdirs === subdirs ? undefined : `it records ${self.subdirs} subdirectories, but has ${subdirs}.`;
  }
  if (self === undefined) return backrefs > 1 ? "it is a file with several names but no self-record." : undefined;
  return backrefs < 2 ? `it is a file with a self-record but ${backrefs} names.` : undefined;
}
