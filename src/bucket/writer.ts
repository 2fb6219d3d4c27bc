/**
 * Writes to a bucket without a mount, for `put`, `rm`, `mv` and `restore`: collects edits by path into one epoch and publishes
 * that like any other.
 */
import { SynclineError } from "../base/errors.ts";
import type { FileName, Ino, Lamport } from "../base/ids.ts";
import { PUBLISH_NODE_CACHE_BYTES, WRITER_ROUNDS } from "../base/limits.ts";
import { type Content, type FileRecord, newRecord } from "../format/files/record.ts";
import { NodeStore } from "../tree/node-store.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import type { ChangeSet, DataReader } from "../fstree/change-set.ts";
import { resolvePath } from "../fstree/fs-reader.ts";
import { type PublishContext, publishEpoch, type PublishOptions } from "./publish.ts";
import type { PublishOutcome } from "./publish/outcome.ts";
import { type Draft, DraftTree } from "./writer/draft-tree.ts";
import { dataOf, type FileSource } from "./writer/file-source.ts";
import { isADirectoryError, neverThere, noSuchPath, notADirectory } from "./writer/path-errors.ts";
import { type RestoreCounts, Restorer } from "./writer/restore.ts";

/** Names from the root directory on; empty: the root itself. */
export type Path = readonly FileName[];

/** What a new object gets besides its bytes. */
export interface NewAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Absent: now. */
  readonly mtimeNs?: bigint;
}

/**
 * Starts an epoch on the current root. `epoch` must be greater than any that this device ever used. Throws
 * `no_such_bucket`, `arbiter_unreachable`, and as reading does.
 */
export async function openWriter(context: PublishContext, epoch: number): Promise<BucketWriter> {
  const { commit } = await context.bucket.head();
  return new BucketWriter(context, commit, epoch, context);
}

export interface WriterPublication {
  /** Makes the new commit's policy from the previous one. */
  readonly policy?: PublishOptions["policy"];
  /** Has the bytes of `putData`. */
  readonly data?: DataReader;
}

/** Edits that are never published, to see what they would do. */
export type DryRunWriter = Pick<BucketWriter, "record" | "move" | "remove">;

/** Edits of a root that show what a command would do. Needs no device, since nothing is written. */
export function dryRun(context: EditContext, base: VerifiedCommit): DryRunWriter {
  return new BucketWriter(context, base, 0);
}

type EditContext = Pick<PublishContext, "bucket" | "clock">;

export class BucketWriter implements AsyncDisposable {
  readonly #context: EditContext;
  readonly #publishing: PublishContext | undefined;
  readonly #base: VerifiedCommit;
  readonly #epoch: number;
  readonly #nodes: NodeStore;
  readonly #draft: DraftTree;
  readonly #sources = new Map<Ino, FileSource>();
  readonly #restored = new Set<VerifiedCommit>();

  constructor(context: EditContext, base: VerifiedCommit, epoch: number, publishing?: PublishContext) {
    this.#context = context;
    this.#publishing = publishing;
    this.#base = base;
    this.#epoch = epoch;
    this.#nodes = new NodeStore(context.bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
    this.#draft = new DraftTree(this.#nodes, base.body.tree);
  }

  /** The commit that the edits start from. */
  get base(): VerifiedCommit {
    return this.#base;
  }

  /** What is at a path now, with the edits so far. */
  async record(path: Path): Promise<FileRecord | undefined> {
    return (await this.#at(path))?.record;
  }

  /** The names in a directory now; undefined if there is none. */
  async names(path: Path): Promise<FileName[] | undefined> {
    const draft = await this.#at(path);
    if (draft?.record.type !== "directory") return undefined;
    const names: FileName[] = [];
    for await (const name of this.#draft.names(draft)) names.push(name);
    return names;
  }

  /** Makes a directory and its missing parents. Throws `not_a_directory`. */
  async makeDirectory(path: Path, attributes: NewAttributes): Promise<void> {
    await this.#directory(path, attributes);
  }

  /** Sets the attributes of an existing object: a directory's after its entries, since each of them changes its time. */
  async setAttributes(path: Path, { mode, uid, gid, mtimeNs }: NewAttributes): Promise<void> {
    const draft = await this.#at(path);
    if (draft === undefined) throw noSuchPath(path);
    const { record } = draft;
    const isAlike = mtimeNs !== undefined && looksAlike(record, { ...record, mode, uid, gid, mtimeNs });
    const now = this.#context.clock.nowNs();
    if (!isAlike) this.#draft.setRecord(draft, { ...record, mode, uid, gid, mtimeNs: mtimeNs ?? now, ctimeNs: now });
  }

  /**
   * Writes a file: a new one, or new bytes and attributes of an existing one; a file with other names keeps its bytes under
   * those. Makes missing parents. The source is read at publishing, and disposed with the writer. Throws `is_a_directory`,
   * `not_a_directory`.
   */
  async putFile(path: Path, source: FileSource, attributes: NewAttributes): Promise<void> {
    const ino = await this.putData(path, source.size, attributes);
    await this.#sources.get(ino)?.[Symbol.asyncDispose]();
    this.#sources.set(ino, source);
  }

  /**
   * The same with bytes from the reader given to `publish`, under the returned inode number. A file that already has these
   * attributes and bytes stays unchanged. Throws as `putFile`.
   */
  async putData(path: Path, size: number, attributes: NewAttributes): Promise<Ino> {
    const { directory, name } = await this.#parentOf(path, attributes);
    const now = await this.#existing(directory, name, path, "file");
    const record = this.#newRecord("file", attributes, { size });
    const isAlike = now?.content.kind === "same" && looksAlike(now.record, record);
    if (now !== undefined && !isAlike)
      this.#draft.setRecord(now, { ...record, xattrs: now.record.xattrs, unknown: now.record.unknown });
    const draft = now ?? this.#draft.create(directory, name, record);
    this.#draft.setContent(draft, {
      kind: "edited",
      base: EMPTY,
      baseSize: 0,
      segments: size === 0 ? [] : [{ offset: 0, length: size, from: "data", epoch: this.#epoch }],
      ...(isAlike && { ctimeNs: record.ctimeNs }),
    });
    return draft.ino;
  }

  /** Undoes `putData` of a file that is gone by now. Returns as `DraftTree.takeBack`. */
  takeBack(ino: Ino): Promise<boolean> {
    return this.#draft.takeBack(ino);
  }

  /** Makes a symlink, also in place of a file or another symlink. Throws `is_a_directory`, `not_a_directory`. */
  async putSymlink(path: Path, target: string, attributes: NewAttributes): Promise<void> {
    const { directory, name } = await this.#parentOf(path, attributes);
    const now = await this.#existing(directory, name, path, "symlink");
    const record = this.#newRecord("symlink", attributes, { size: target.length, target });
    if (now === undefined) this.#draft.create(directory, name, record);
    else if (now.record.target !== target || !looksAlike(now.record, record)) this.#draft.setRecord(now, record);
  }

  /**
   * Gives the file at `existing` another name in an existing directory, also in place of another file. Throws
   * `is_a_directory`, `not_a_directory`, `no_such_path`.
   */
  async link(path: Path, existing: Path): Promise<void> {
    const file = await this.#at(existing);
    if (file === undefined) throw noSuchPath(existing);
    const { directory, name } = await this.#slotOf(path);
    const now = await this.#draft.child(directory, name);
    if (now === file) return;
    if (file.record.type === "directory" || now?.record.type === "directory") throw isADirectoryError(path);
    if (now !== undefined) this.#draft.unlink(now, directory, name);
    this.#draft.link(file, directory, name);
    this.#touch(directory);
  }

  /**
   * Moves an object to another path in an existing directory, replacing what is there. A file that replaces a file becomes
   * that file, with the moved one's bytes and attributes, if neither has other names or it is the other's conflict copy:
   * concurrent edits apply to it. A moved conflict copy stops being one. Throws `no_such_path`, `not_a_directory`.
   */
  async move(path: Path, to: Path): Promise<void> {
    const found = await this.#at(path);
    if (found === undefined) throw noSuchPath(path);
    const [now, from, target] = [await this.#at(to), await this.#slotOf(path), await this.#slotOf(to)];
    const record = { ...found.record, conflict: undefined };
    if (now !== undefined && maySucceed(found, now)) {
      this.#draft.setRecord(now, { ...record, ctimeNs: this.#context.clock.nowNs() });
      this.#draft.setContent(now, found.content);
      this.#draft.unlink(found, from.directory, from.name);
    } else {
      if (now !== undefined) await this.#restorer(this.#base).remove(now, target.directory, target.name);
      this.#draft.unlink(found, from.directory, from.name);
      this.#draft.link(found, target.directory, target.name);
      this.#draft.setRecord(found, record);
    }
    this.#touch(from.directory);
    this.#touch(target.directory);
  }

  /** Removes a path and everything below it. Returns the number of names removed. Throws `no_such_path`. */
  async remove(path: Path): Promise<number> {
    const found = await this.#at(path);
    if (found === undefined) throw noSuchPath(path);
    const { directory, name } = await this.#slotOf(path);
    const restorer = this.#restorer(this.#base);
    await restorer.remove(found, directory, name);
    this.#touch(directory);
    return restorer.counts.removed;
  }

  /**
   * Makes a path what it was in another commit, removing what did not exist then. Missing parents are restored as they
   * were. Throws `no_such_path` when the path is in neither.
   */
  async restore(path: Path, from: VerifiedCommit): Promise<RestoreCounts> {
    const restorer = this.#restorer(from, path);
    this.#restored.add(from);
    const old = await resolvePath(this.#nodes, from.body.tree, path);
    if (old === undefined && (await this.#at(path)) === undefined) throw neverThere(path);
    let directory = await this.#draft.root();
    for (const [depth, name] of path.slice(0, -1).entries()) {
      let next = await this.#draft.child(directory, name);
      if (next === undefined && old !== undefined) {
        const above = await resolvePath(this.#nodes, from.body.tree, path.slice(0, depth + 1));
        if (above !== undefined) next = this.#draft.create(directory, name, above.record);
      }
      if (next?.record.type !== "directory") throw notADirectory(path.slice(0, depth + 1));
      directory = next;
    }
    const name = path.at(-1);
    if (name !== undefined) {
      await restorer.restore(directory, name, old);
      this.#touch(directory);
    } else if (old !== undefined) await restorer.restoreRoot(directory, old);
    return restorer.counts;
  }

  /**
   * Publishes all edits and a policy change as one commit; retries for a while if others are faster. Call it once, or
   * again after the data could not be read.
   */
  async publish(note = "", { policy, data: given }: WriterPublication = {}): Promise<PublishOutcome> {
    const context = this.#publishing;
    if (context === undefined) throw new SynclineError("internal", "A dry run cannot be published.");
    const changes: ChangeSet = {
      epoch: this.#epoch,
      reference: this.#base.cid,
      lamport: (this.#base.body.seq + 1) as Lamport,
      ...this.#draft.changes(),
    };
    const data = dataOf(this.#sources, given);
    const options: PublishOptions = { note, sources: [...this.#restored], ...(policy === undefined ? {} : { policy }) };
    let outcome = await publishEpoch(context, changes, data, options);
    for (let round = 1; round < WRITER_ROUNDS && outcome.kind === "queued"; round++) {
      outcome = await publishEpoch(context, changes, data, options);
    }
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.#sources.values()) await source[Symbol.asyncDispose]();
    this.#sources.clear();
  }

  async #at(path: Path): Promise<Draft | undefined> {
    let draft: Draft | undefined = await this.#draft.root();
    for (const name of path) {
      if (draft === undefined || draft.record.type !== "directory") return undefined;
      draft = await this.#draft.child(draft, name);
    }
    return draft;
  }

  async #directory(path: Path, attributes: NewAttributes): Promise<Draft> {
    let directory = await this.#draft.root();
    for (const [depth, name] of path.entries()) {
      const next = await this.#draft.child(directory, name);
      if (next === undefined) {
        const made = this.#newRecord("directory", attributes);
        this.#touch(directory);
        directory = this.#draft.create(directory, name, made);
      } else if (next.record.type === "directory") directory = next;
      else throw notADirectory(path.slice(0, depth + 1));
    }
    return directory;
  }

  async #parentOf(path: Path, attributes: NewAttributes): Promise<{ directory: Draft; name: FileName }> {
    const name = path.at(-1);
    if (name === undefined) throw isADirectoryError(path);
    return { directory: await this.#directory(path.slice(0, -1), { ...attributes, mode: 0o755 }), name };
  }

  /** Throws `no_such_path`, `not_a_directory`. */
  async #slotOf(path: Path): Promise<{ directory: Draft; name: FileName }> {
    const name = path.at(-1);
    if (name === undefined) throw new SynclineError("usage", "The root directory cannot be removed.");
    const directory = await this.#at(path.slice(0, -1));
    if (directory === undefined) throw noSuchPath(path.slice(0, -1));
    if (directory.record.type !== "directory") throw notADirectory(path.slice(0, -1));
    return { directory, name };
  }

  /** The object of this type at a name, if that is its only name; else removes the name. Throws `is_a_directory`. */
  async #existing(directory: Draft, name: FileName, path: Path, type: FileRecord["type"]): Promise<Draft | undefined> {
    const now = await this.#draft.child(directory, name);
    if (now?.record.type === "directory") throw isADirectoryError(path);
    if (now?.record.type === type && now.names.length === 1) return now;
    this.#touch(directory);
    if (now === undefined) return undefined;
    this.#draft.unlink(now, directory, name);
    return undefined;
  }

  #newRecord(type: FileRecord["type"], attributes: NewAttributes, fields: Partial<FileRecord> = {}): FileRecord {
    const timeNs = this.#context.clock.nowNs();
    const { uid, gid, mtimeNs = timeNs } = attributes;
    const mode = type === "symlink" ? 0o777 : attributes.mode;
    return { ...newRecord(type, { mode, uid, gid, timeNs }), mtimeNs, ...fields };
  }

  /** A directory whose entries change gets new times, as on any filesystem. */
  #touch(directory: Draft): void {
    const now = this.#context.clock.nowNs();
    this.#draft.setRecord(directory, { ...directory.record, mtimeNs: now, ctimeNs: now });
  }

  #restorer(from: VerifiedCommit, path: Path = []): Restorer {
    const source = { nodes: this.#nodes, tree: from.body.tree, path };
    return new Restorer(this.#draft, source, this.#context.clock.nowNs());
  }
}

/** Whether a file may take another's id. All names of that one then show it, as they must for its own conflict copy. */
function maySucceed({ record, names }: Draft, now: Draft): boolean {
  if (record.type !== "file" || now.record.type !== "file") return false;
  return (
    (names.length === 1 && now.names.length === 1) || (now.base !== undefined && record.conflict?.of === now.base.id)
  );
}

/** Whether an object equals a new one, except for its bytes or target and for fields that only the bucket has. */
function looksAlike(now: FileRecord, { mode, uid, gid, size, mtimeNs }: FileRecord): boolean {
  const hasAttributes = now.mode === mode && now.uid === uid && now.gid === gid && now.mtimeNs === mtimeNs;
  return hasAttributes && now.size === size && now.conflict === undefined;
}

/** Shared, since a tree of a million files has a million of these. */
const EMPTY: Content = { kind: "empty" };
