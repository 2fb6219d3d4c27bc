/** The folder's changes since the last sync, in an epoch's form: the end state of every changed object. */
import type { Cid, Ino } from "../../base/ids.ts";
import type { ChangedObject, ContentChange } from "../../fstree/change-set.ts";
import { sameContent } from "../../fstree/merge/objects.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { ContentConfig } from "../../content/config.ts";
import type { FileRecord, Xattrs } from "../../format/files/record.ts";
import { NO_XATTRS } from "../../format/files/record.ts";
import type { DiskStat, SyncDisk } from "../disk/disk.ts";
import type { Entry } from "../known/entry.ts";
import { baseTarget, mergedXattrs } from "./base-values.ts";
import { type Attention, recordOfNew, statWithoutList, withAttributes } from "./attributes.ts";
import { prefetchXattrs } from "./xattr-prefetch.ts";
import type { Action, LocalChange, LocalChanges, Look, Observed } from "./local-changes.ts";
import { contentOnDisk, isUnreadable } from "./local-content.ts";
import type { LeftReason } from "./left-out.ts";
import { LocalNames } from "./local-names.ts";
import type { LocalObject, Matching } from "./matching.ts";
import { digestOfXattrs, isUntouched, seenOf, type Seen } from "../known/seen.ts";
import { tooLarge } from "./too-large.ts";
import type { Found } from "./walk.ts";

export interface FinderOptions {
  readonly disk: SyncDisk;
  readonly content: ContentConfig;
  readonly attention: Attention;
  /** Reads a block of a long value. */
  readonly block: (cid: Cid) => Promise<Uint8Array>;
  /** Paths that keep changing while being read, or cannot be read: they count as unchanged. */
  readonly unstable: Pick<ReadonlySet<string>, "has" | "size">;
  /** Called with what cannot be read, is gone since the walk, or is too large: it must be `unstable` from then on. */
  readonly leave?: (found: Found, why: LeftReason) => void;
  /** The time before the scan. */
  readonly lookedNs: bigint;
}

export function findChanges(matching: Matching, options: FinderOptions): Promise<LocalChanges> {
  return new ChangeFinder(matching, options).find();
}

interface Changed extends Pick<ChangedObject, "content"> {
  readonly record: FileRecord;
}

interface Examined {
  /** Inodes already examined, with the digests of their extended attributes. */
  readonly examined: ReadonlyMap<bigint, string>;
  readonly changed: Changed | undefined;
  readonly look: Look | undefined;
}

class ChangeFinder {
  readonly #matching: Matching;
  readonly #options: FinderOptions;
  readonly #changes = new Map<LocalObject, LocalChange>();
  readonly #names: LocalNames;
  readonly #sources = new Map<Ino, Found>();
  readonly #observed: Observed[] = [];
  readonly #deletedFiles: Entry[] = [];
  readonly #touched = new Set<LocalObject>();
  /** Directories whose extended attributes cannot be read: they are looked at again. */
  readonly #unread = new Set<Found>();
  /** New objects without extended attributes. */
  #bare: ReadonlySet<Found> = new Set();

  constructor(matching: Matching, options: FinderOptions) {
    this.#matching = matching;
    this.#options = options;
    this.#names = new LocalNames(matching);
  }

  async find(): Promise<LocalChanges> {
    for await (const batch of prefetchXattrs(this.#options.disk, this.#matching.objects)) {
      this.#bare = batch.bare;
      for (const object of batch.objects) {
        const [found] = object.found;
        if (found === undefined) this.#missed(object);
        else if (!this.#isNewAndBare(object, found)) await this.#thereOrLeft(object, found);
        else this.#bornBare(object, found);
      }
    }
    for (const directory of this.#touched) this.#touch(directory);
    return {
      changes: [...this.#changes.values()],
      directories: this.#names.directories,
      sources: this.#sources,
      observed: this.#observed,
      deletedFiles: this.#deletedFiles,
    };
  }

  /** Most of what a first scan finds: nothing more needs to be read. */
  #isNewAndBare({ id, found }: LocalObject, first: Found): boolean {
    return (
      id === undefined &&
      found.length === 1 &&
      first.stat.type === "file" &&
      this.#bare.has(first) &&
      tooLarge(first) === undefined &&
      !this.#isUnstable(first)
    );
  }

  #bornBare(object: LocalObject, found: Found): void {
    const { record, content } = this.#bornFile(object, found.stat, NO_XATTRS);
    this.#note(object, undefined, this.#names.of(object), record, content);
    const seen = seenOf(found.stat, "", this.#options.lookedNs);
    this.#observed.push({ object, found, entry: undefined, seen, isBehind: false });
  }

  #missed(object: LocalObject): void {
    const { entries, kept } = object;
    if (kept.length === entries.length) return;
    const [first] = entries;
    if (first === undefined) return;
    const names = this.#names.ofKept(kept);
    this.#note(object, first, names, names.length === 0 ? undefined : first.record, SAME);
  }

  /** If it is gone or its attributes cannot be read, the whole object counts as unchanged, so that the next scan looks again. */
  async #thereOrLeft(object: LocalObject, found: Found): Promise<void> {
    try {
      await this.#there(object);
    } catch (error) {
      const isHeavy = failedWith(error, "E2BIG");
      const why = isHeavy ? "too large" : failedWith(error, ...GONE) ? "keeps changing" : "cannot be read";
      if (this.#options.leave === undefined || (why === "cannot be read" && !isUnreadable(error))) throw error;
      this.#options.leave(found, why);
      await this.#there(object);
    }
  }

  async #there(object: LocalObject): Promise<void> {
    if (this.#isTooLarge(object)) return;
    const isLeft = this.#isLeft(object);
    const looks = object.found.map((found) => ({ found, entry: this.#names.entryFor(object, found) }));
    const otherwise = looks.filter(({ found, entry }) => !this.#isUnchanged(found, entry));
    const names = this.#names.of(object);
    const { examined, changed, look } = await this.#examined(object, otherwise);
    const { found, entry } = look ?? otherwise[0] ?? looks[0] ?? {};
    if (found === undefined) return;
    const isMoved = entry === undefined || !this.#names.areKnown(object);
    if (changed !== undefined || isMoved) {
      const record = changed?.record ?? entry?.record;
      if (record !== undefined) this.#note(object, entry, names, record, changed?.content ?? SAME);
    }
    const isNoted = changed !== undefined || isMoved;
    for (const { found: at, entry: old } of looks) {
      const isBehind = isNoted && old !== undefined && at.stat.ino !== found.stat.ino;
      const digest = examined.get(at.stat.ino) ?? old?.seen.xattrs ?? "";
      // A name that was not examined, or changed while being read, keeps its old look, so that the next scan sees it.
      const isUnseen = isLeft || (isBehind && !examined.has(at.stat.ino));
      const seen = isUnseen ? old?.seen : this.#seenNow(at, digest, old);
      if (seen === undefined || !(isNoted || old === undefined || !isUntouched(old.seen, at.stat))) continue;
      this.#observed.push({ object, found: at, entry: old, seen, isBehind });
    }
  }

  /** The first change among an object's changed names. Each inode is examined once. */
  async #examined(object: LocalObject, otherwise: readonly Look[]): Promise<Examined> {
    const examined = new Map<bigint, string>();
    for (const look of otherwise) {
      const { found, entry } = look;
      if (examined.has(found.stat.ino)) continue;
      const attributes = this.#isLeft(object) ? undefined : await this.#xattrsOf(found, entry);
      const digest = attributes === undefined ? (entry?.seen.xattrs ?? "") : digestOfXattrs(attributes);
      examined.set(found.stat.ino, digest);
      const changed = await this.#changeOf(object, found, entry, attributes, digest);
      if (changed !== undefined) return { examined, changed, look };
    }
    return { examined, changed: undefined, look: undefined };
  }

  /** Undefined: it is as the bucket knows it. */
  async #changeOf(
    object: LocalObject,
    found: Found,
    entry: Entry | undefined,
    xattrs: Xattrs | undefined,
    digest: string,
  ): Promise<Changed | undefined> {
    if (this.#isLeft(object)) return undefined;
    const isBare = entry === undefined && this.#bare.has(found);
    const stat = isBare ? found.stat : await statWithoutList(this.#options.disk, found, entry?.seen);
    if (entry === undefined) return this.#born(object, { path: found.path, stat }, xattrs);
    const { record: base, seen } = entry;
    let record = withAttributes(base, seen, stat, this.#options.attention);
    if (xattrs !== undefined && digest !== seen.xattrs)
      record = { ...record, xattrs: await mergedXattrs(base, xattrs, this.#options.block) };
    if (stat.type === "symlink") {
      const target = await this.#options.disk.readLink(found.path);
      if (target !== (await baseTarget(base, this.#options.block))) record = { ...record, target, size: target.length };
    }
    const content = stat.type === "file" ? await this.#contentOf(object, found, base) : SAME;
    if (content.kind === "edited") record = { ...record, size: stat.size, mtimeNs: stat.mtimeNs };
    return record === base && content === SAME
      ? undefined
      : { record: { ...record, ctimeNs: this.#options.lookedNs }, content };
  }

  async #born(
    object: LocalObject,
    { path, stat }: Pick<Found, "path" | "stat">,
    xattrs: Xattrs = NO_XATTRS,
  ): Promise<Changed> {
    if (stat.type === "file") return this.#bornFile(object, stat, xattrs);
    const record = recordOfNew(stat, xattrs, 0, this.#options);
    if (stat.type !== "symlink") return { record, content: SAME };
    const target = await this.#options.disk.readLink(path);
    return { record: { ...record, target, size: target.length }, content: SAME };
  }

  #bornFile(object: LocalObject, stat: DiskStat, xattrs: Xattrs): Changed {
    return {
      record: recordOfNew(stat, xattrs, stat.size, this.#options),
      content: this.#edited(object, object.found[0], EMPTY),
    };
  }

  async #contentOf(object: LocalObject, found: Found, base: FileRecord): Promise<ContentChange> {
    if (found.stat.size === base.size) {
      const content = await contentOnDisk(this.#options.disk, found, this.#options.content);
      if (content !== undefined && sameContent(content, base.content)) return SAME;
    }
    return this.#edited(object, found, base);
  }

  #edited(object: LocalObject, found: Found | undefined, base: Pick<FileRecord, "content" | "size">): ContentChange {
    if (found === undefined) return SAME;
    const { size } = found.stat;
    this.#sources.set(object.ino, found);
    const segments = size === 0 ? [] : [{ offset: 0, length: size, from: "data" as const, epoch: 0 }];
    return { kind: "edited", base: base.content, baseSize: base.size, segments };
  }

  #note(
    object: LocalObject,
    entry: Entry | undefined,
    names: ChangedObject["names"],
    record: FileRecord | undefined,
    content: ContentChange,
  ): void {
    const { ino, id, entries } = object;
    const baseNames = this.#names.inBucket(entries);
    const base = entry?.record;
    const changed: ChangedObject = { ino, id, baseNames, base, names, record, content };
    const action =
      id === undefined ? "added" : names.length === 0 ? "deleted" : this.#actionOf(object, content, record, base);
    this.#changes.set(object, { object, action, changed });
    if (action === "deleted" && base?.type !== "directory") this.#deletedFiles.push(...entries);
    if (id !== undefined && action !== "added" && this.#names.areKnown(object)) return;
    for (const { parent } of entries) this.#touchedBy(this.#matching.ofId(parent));
    for (const { parent } of object.found)
      if (parent !== undefined) this.#touchedBy(this.#matching.objectOf.get(parent));
  }

  #actionOf(object: LocalObject, content: ContentChange, record: unknown, base: unknown): Action {
    return content === SAME && record === base && !this.#names.areKnown(object) ? "moved" : "changed";
  }

  #touchedBy(directory: LocalObject | undefined): void {
    if (directory !== undefined && directory !== this.#matching.root) this.#touched.add(directory);
  }

  /** A directory whose entries changed gets its new times from the disk. */
  #touch(directory: LocalObject): void {
    const [found] = directory.found;
    if (found === undefined || directory.id === undefined || found.parent === undefined) return;
    if (tooLarge(found) !== undefined) return;
    const known = this.#changes.get(directory);
    const entry = this.#names.entryFor(directory, found);
    const record = known?.changed.record ?? entry?.record;
    if (record === undefined || entry === undefined) return;
    const { mtimeNs } = found.stat;
    const timed = { ...record, mtimeNs, ctimeNs: this.#options.lookedNs };
    if (known === undefined) {
      this.#note(directory, entry, this.#names.of(directory), timed, SAME);
      const seen = this.#seenNow(found, entry.seen.xattrs, entry);
      this.#observed.push({ object: directory, found, entry, seen, isBehind: false });
    } else this.#changes.set(directory, { ...known, changed: { ...known.changed, record: timed } });
  }

  #seenNow(found: Found, digest: string, entry: Entry | undefined): Seen {
    const seen = seenOf(found.stat, digest, this.#options.lookedNs);
    return entry !== undefined && this.#unread.has(found) ? { ...seen, ctimeNs: entry.seen.ctimeNs } : seen;
  }

  /** Elsewhere the inode's number proves nothing: it can be another file's since a remount. */
  #isUnchanged(found: Found, entry: Entry | undefined): boolean {
    return entry !== undefined && this.#names.isAt(found, entry) && isUntouched(entry.seen, found.stat);
  }

  /** The whole object then counts as unchanged. */
  #isTooLarge({ found }: LocalObject): boolean {
    const whys = found.map((each) => [each, tooLarge(each)] as const);
    for (const [each, why] of whys) if (why !== undefined) this.#options.leave?.(each, why);
    return whys.some(([, why]) => why !== undefined);
  }

  /** Whether any of its names is unstable. */
  #isLeft({ found }: LocalObject): boolean {
    return found.some((each) => this.#isUnstable(each));
  }

  /** A directory at such a path is new, and its entries cannot be published without it. */
  #isUnstable({ path, stat }: Found): boolean {
    const { unstable } = this.#options;
    return stat.type !== "directory" && unstable.size > 0 && unstable.has(path.join("/"));
  }

  async #xattrsOf(found: Found, entry: Entry | undefined): Promise<Xattrs | undefined> {
    const { disk } = this.#options;
    const { path, stat } = found;
    if (this.#bare.has(found)) return NO_XATTRS;
    if (!disk.hasXattrs || stat.type === "symlink") return undefined;
    // Setting an attribute changes the ctime.
    const isHere = entry !== undefined && this.#names.isAt(found, entry);
    if (isHere && entry.seen.ino === stat.ino && entry.seen.ctimeNs === stat.ctimeNs) return undefined;
    try {
      return await disk.xattrs(path);
    } catch (error) {
      // A directory's entries cannot be published without it.
      if (stat.type !== "directory" || !(isUnreadable(error) || failedWith(error, ...GONE))) throw error;
      if (entry !== undefined) this.#unread.add(found);
      return undefined;
    }
  }
}

/** Removed since the walk, or replaced by another type of file. */
const GONE = ["ENOENT", "ENOTDIR", "ELOOP", "EINVAL"];
const SAME: ContentChange = { kind: "same" };
const EMPTY: Pick<FileRecord, "content" | "size"> = { content: { kind: "empty" }, size: 0 };
