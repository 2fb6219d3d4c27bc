/**
 * Contents that an epoch needs and the bucket may have dropped (docs/design/retention.md): those of its base once that is
 * gone, and those that files had on an older root, before the agent adopted the present base. Contents still readable, as
 * from a cache, are stored again. The rest is replaced, so that the epoch can be published without missing blocks:
 *
 * - Long extended attributes and symlink targets are the reference's; a symlink without a target is gone.
 * - Where others only appended to a file, its beginning is the base's version.
 * - A file whose bytes the epoch did not change takes the reference's; if that has no such file, it is gone.
 * - A partly written file becomes its own file, under a conflict name, with zeros for missing bytes. Others' stays.
 */
import type { Cid, FileName, Ino, WriterId } from "../../base/ids.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import { editContent } from "../../content/edit.ts";
import { type BasePiece, piecesOf, readPieces, segmentsOver } from "../../content/pieces-left.ts";
import type { ReadData } from "../../content/segment.ts";
import { contentHash } from "../../content/walk.ts";
import { isLinked, linkedValues } from "../../format/blocks/linked-value.ts";
import { type Content, type FileRecord, NO_XATTRS } from "../../format/files/record.ts";
import type { ChangedObject, ChangeSet, DataReader, PublishedObject } from "../change-set.ts";
import { readDentry, readObject } from "../fs-reader.ts";
import { fileNames } from "../merge/conflict-names.ts";
import type { MergeContext } from "../merge/context.ts";
import { sameContent } from "../merge/objects.ts";
import { withEarnedPrivileges } from "../merge/privileges.ts";

/** Where contents are read from and stored. */
export type EpochStores = Omit<MergeContext, "treeConfig" | "policy" | "gone">;

export interface ReadableEpoch {
  readonly changes: ChangeSet;
  readonly data: DataReader;
  /** Objects that are gone with their contents, as reported to the overlay. */
  readonly dropped: ReadonlyMap<Ino, PublishedObject>;
  /** Contents of the base that may be unreadable. */
  readonly gone: ReadonlySet<Cid>;
  /** The number of partly written files that lack bytes now. */
  readonly torn: number;
}

export interface Author {
  readonly writer: WriterId;
  /** The epoch's base is gone. */
  readonly baseGone: boolean;
  /** The trees of all roots that the bucket retains. */
  readonly retainedTrees: () => AsyncIterable<Cid>;
}

/** `reference`: the base's tree; if gone, the newest root's. Throws as reading and storing, except for gone contents. */
export async function replaceGoneContents(
  context: EpochStores,
  reference: Cid,
  sealed: ChangeSet,
  data: DataReader,
  author: Author,
): Promise<ReadableEpoch> {
  const { baseGone } = author;
  const replacing = new Replacing(context, reference, sealed, data, author);
  const objects: ChangedObject[] = [];
  for (const object of sealed.objects) {
    const kept = baseGone ? NOTHING_KEPT : await replacing.inReference(object);
    const valued = kept.values ? object : await replacing.withValues(object);
    objects.push(kept.content ? valued : await replacing.withContent(valued));
  }
  const { dropped, gone, torn } = replacing;
  return { changes: { ...sealed, objects }, data: replacing.reader(), dropped, gone, torn };
}

/** Whether blocks that an object refers to are retained, so that they need not be looked at. */
interface KeptBlocks {
  readonly content: boolean;
  readonly values: boolean;
}

const NOTHING_KEPT: KeptBlocks = { content: false, values: false };
const EMPTY: Content = { kind: "empty" };
/** Stands for the base's remaining bytes; no epoch has this number. */
const LEFT = -1;

class Replacing {
  readonly dropped = new Map<Ino, PublishedObject>();
  readonly gone = new Set<Cid>();
  torn = 0;
  readonly #context: EpochStores;
  readonly #reference: Cid;
  readonly #sealed: ChangeSet;
  readonly #data: DataReader;
  readonly #author: Author;
  readonly #left = new Map<Ino, readonly BasePiece[]>();
  /** What the epoch's new objects replaced, and how they are named. */
  readonly #made: { readonly replaced: ReadonlySet<Ino | undefined>; readonly names: ReadonlySet<FileName> };

  constructor(context: EpochStores, reference: Cid, sealed: ChangeSet, data: DataReader, author: Author) {
    this.#context = context;
    this.#reference = reference;
    this.#sealed = sealed;
    this.#data = data;
    this.#author = author;
    const born = sealed.objects.filter(({ id }) => id === undefined);
    this.#made = {
      replaced: new Set(born.map(({ replaces }) => replaces)),
      names: new Set(born.flatMap(({ names }) => names.map(({ name }) => name))),
    };
  }

  reader(): DataReader {
    const data = this.#data;
    const [earlyCuts, seen] = [data.earlyCuts?.bind(data), data.seen?.bind(data)];
    return {
      readData: (ino, epoch, offset, length, target) => {
        const pieces = this.#left.get(ino);
        if (epoch !== LEFT || pieces === undefined) return data.readData(ino, epoch, offset, length, target);
        return readPieces(this.#context.content, pieces, offset, length);
      },
      ...(earlyCuts && { earlyCuts: async (ino, epoch) => (epoch === LEFT ? undefined : earlyCuts(ino, epoch)) }),
      ...(seen && { seen }),
    };
  }

  /** Which of the object's blocks need no look: the reference has them, or the object has none. */
  async inReference(object: ChangedObject): Promise<KeptBlocks> {
    const { base } = object;
    const values = this.#valuesOf(object);
    const isContent = base !== undefined && "cid" in base.content && this.#isMerged(object);
    if (!isContent && values.length === 0) return { content: true, values: true };
    const theirs = await this.#theirs(object);
    const theirValues = theirs === undefined ? [] : linkedValues(theirs);
    return {
      content: !isContent || (theirs !== undefined && sameContent(theirs.content, base.content)),
      values: values.every((cid) => theirValues.includes(cid)),
    };
  }

  /** Replaces missing long values with the reference's. If only the base's are lost, the merge sees none in the base. */
  async withValues(object: ChangedObject): Promise<ChangedObject> {
    const { base, record } = object;
    const gone = await this.#goneOf(this.#valuesOf(object));
    if (gone.size === 0) return object;
    const isGone = (value: FileRecord["xattrs"] | string | undefined) => isLinked(value) && gone.has(value.linked);
    const unknown = isGone(base?.xattrs) && { xattrs: NO_XATTRS };
    if (record === undefined) return { ...object, ...(base !== undefined && { base: { ...base, ...unknown } }) };
    const needed = linkedValues(record).filter((cid) => gone.has(cid));
    if (needed.length > 0)
      await this.#checkLetGo(object, (found) => linkedValues(found).some((cid) => needed.includes(cid)));
    const theirs = await this.#theirs(object);
    if (isGone(record.target) && theirs === undefined) return this.#drop(object);
    const { xattrs = NO_XATTRS, target = record.target, size = record.size } = theirs ?? {};
    const values = { ...(isGone(record.xattrs) && { xattrs }), ...(isGone(record.target) && { target, size }) };
    return {
      ...object,
      record: { ...record, ...values },
      ...(base !== undefined && { base: { ...base, ...unknown, ...values } }),
    };
  }

  async withContent(object: ChangedObject): Promise<ChangedObject> {
    const { record } = object;
    // A merge may read the base's contents even if the epoch needs none of them: for a file that was written anew, and for
    // a new object that takes this one's id. Whether they are left, only reading them would tell.
    if (this.#isMerged(object)) this.#note(object);
    if (record?.type !== "file") return object;
    return object.content.kind === "same" ? this.#unchanged(object, record) : this.#edited(object, record);
  }

  /** Whether the epoch has the object, or may give its id to a new one (identities.ts). */
  #isMerged({ ino, record, baseNames }: ChangedObject): boolean {
    if (record !== undefined) return true;
    return this.#made.replaced.has(ino) || baseNames.some(({ name }) => this.#made.names.has(name));
  }

  /** The blocks of long values that the epoch left as they were, and of the base's. */
  #valuesOf(object: ChangedObject): readonly Cid[] {
    if (!this.#isMerged(object)) return [];
    return [
      ...new Set([object.record, object.base].flatMap((record) => (record === undefined ? [] : linkedValues(record)))),
    ];
  }

  /** Stores these blocks again; returns those that nobody has. */
  async #goneOf(values: readonly Cid[]): Promise<ReadonlySet<Cid>> {
    const { blocks, sink } = this.#context;
    const gone = new Set<Cid>();
    for (const cid of values) {
      try {
        await sink.put({ cid, bytes: await blocks.get(cid) });
      } catch (error) {
        if (!hasCode(error, "block_not_found")) throw error;
        gone.add(cid);
      }
    }
    return gone;
  }

  async #unchanged(object: ChangedObject, record: FileRecord): Promise<ChangedObject> {
    if (isWhole(await this.#carried(object, record.content, record.size))) return object;
    if (this.#data.hasWhole?.(object.ino) === true) {
      return {
        ...object,
        content: { ...REWRITTEN, segments: [{ offset: 0, length: record.size, from: "data", epoch: 0 }] },
      };
    }
    await this.#checkLetGo(object, (found) => sameContent(found.content, record.content));
    const theirs = await this.#theirs(object);
    if (theirs === undefined) return this.#drop(object);
    const { content, size } = theirs;
    const base = object.base && { ...object.base, content, size };
    const replaced = await withEarnedPrivileges(this.#context.blocks, { ...record, content, size }, [theirs]);
    return { ...object, base, record: replaced };
  }

  async #edited(object: ChangedObject, record: FileRecord): Promise<ChangedObject> {
    if (object.content.kind === "same") return object;
    const { base, baseSize, ctimeNs } = object.content;
    const pieces = await this.#carried(object, base, baseSize);
    if (isWhole(pieces)) return object;
    this.#left.set(object.ino, pieces);
    const { segments, isTorn } = segmentsOver(object.content.segments, pieces, LEFT);
    const content = { ...REWRITTEN, segments, ...(ctimeNs !== undefined && { ctimeNs }) };
    if (!isTorn) return { ...object, content };
    await this.#checkLetGo(object, (found) => sameContent(found.content, base));
    return this.#apart({ ...object, content }, record);
  }

  /** Makes the file a conflict copy beside what others have at its name. */
  async #apart(object: ChangedObject, record: FileRecord): Promise<ChangedObject> {
    const { nodes, content: source, sink, contentConfig } = this.#context;
    const [first] = object.names;
    if (object.content.kind === "same" || first === undefined) return object;
    this.torn++;
    const read: ReadData = (...range) => this.reader().readData(object.ino, ...range);
    const { segments } = object.content;
    const content = await editContent(source, sink, contentConfig, EMPTY, 0, segments, record.size, read);
    const parent = this.#idOf(first.parent);
    const taken = new Set(this.#sealed.objects.flatMap(({ names }) => names.map(placeOf)));
    let free = first;
    for (const name of fileNames(first.name, contentHash(content))) {
      free = { parent: first.parent, name };
      if (taken.has(placeOf(free))) continue;
      if (parent === undefined || (await readDentry(nodes, this.#reference, { parent, name })) === undefined) break;
    }
    const { id } = object;
    const conflict = id && { of: id, writer: this.#author.writer, epoch: this.#sealed.epoch };
    return {
      ino: object.ino,
      id: undefined,
      base: undefined,
      baseNames: [],
      names: [free],
      record: { ...record, content, conflict },
      content: { kind: "same" },
    };
  }

  #drop(object: ChangedObject): ChangedObject {
    const { ino, id, base, baseNames } = object;
    if (id !== undefined && base !== undefined)
      this.dropped.set(ino, { id, record: { ...base, content: EMPTY, size: 0 }, names: baseNames });
    return { ...object, names: [], record: undefined, content: { kind: "same" } };
  }

  /** Notes that the base's contents may be gone. */
  #note({ base }: ChangedObject): void {
    if (base !== undefined && "cid" in base.content) this.gone.add(base.content.cid);
  }

  async #carried(object: ChangedObject, content: Content, size: number): Promise<readonly BasePiece[]> {
    const { blocks, sink, content: source } = this.#context;
    const find = () => piecesOf(source, blocks, content, size, (block) => sink.put(block));
    const pieces = await find();
    return isWhole(pieces) || !(await this.#isBeginning(object, content, size)) ? pieces : find();
  }

  /** Throws `block_not_found` if the object, as a retained root has it, needs what is missing: the bucket is damaged. */
  async #checkLetGo(object: ChangedObject, needs: (found: FileRecord) => boolean): Promise<void> {
    for await (const tree of this.#author.retainedTrees()) {
      const found = await this.#objectIn(tree, object);
      if (found === undefined || !needs(found)) continue;
      throw new SynclineError(
        "block_not_found",
        "A changed file depends on contents that are missing from the bucket.",
        { hint: "Run `syncline verify --repair` on the bucket. Local changes are kept." },
      );
    }
  }

  /** Whether others' version of the file now begins with this content; if so, stores it. */
  async #isBeginning(object: ChangedObject, content: Content, size: number): Promise<boolean> {
    const theirs = await this.#theirs(object);
    if (theirs === undefined || theirs.size < size) return false;
    const { content: source, sink, contentConfig } = this.#context;
    const all = [{ offset: 0, length: size, from: "base", epoch: 0 }] as const;
    const read: ReadData = () =>
      Promise.reject(new SynclineError("internal", "A prefix of a file has no data of its own."));
    return sameContent(
      await editContent(source, sink, contentConfig, theirs.content, theirs.size, all, size, read),
      content,
    );
  }

  /** The object as the reference has it. */
  #theirs(object: ChangedObject): Promise<FileRecord | undefined> {
    return this.#objectIn(this.#reference, object);
  }

  async #objectIn(tree: Cid, { id, base, record = base, baseNames }: ChangedObject): Promise<FileRecord | undefined> {
    if (id === undefined) return undefined;
    for (const hint of [...baseNames, undefined]) {
      const found = await readObject(this.#context.nodes, tree, id, hint);
      if (found !== undefined) return found.record.type === record?.type ? found.record : undefined;
    }
    return undefined;
  }

  #idOf(ino: Ino) {
    return this.#sealed.directories.get(ino) ?? this.#sealed.objects.find((object) => object.ino === ino)?.id;
  }
}

function isWhole(pieces: readonly BasePiece[]): boolean {
  return pieces.every(({ from }) => from !== "gone");
}

const REWRITTEN = { kind: "edited", base: EMPTY, baseSize: 0 } as const;

function placeOf({ parent, name }: ChangedObject["names"][number]): string {
  return `${parent}/${name}`;
}
