/**
 * The library entry point `syncline/bucket`: trees of files as in a bucket, and merging two of them, with conflicts. No
 * network, keys or commits: agents build what they publish from these trees. docs/reference/library.md has an example.
 */
import { type Cid, type FileName, type Ino, type Lamport, ROOT_ID, type WriterId } from "../base/ids.ts";
import { SynclineError } from "../base/errors.ts";
import { nameFromText, nameToText } from "../base/names.ts";
import type { BlockStore } from "../blocks/block-store.ts";
import { rebaseEpoch } from "../fstree/rebase/rebase.ts";
import { rootDirectoryTree } from "../bucket/bucket.ts";
import { liesInItself, listDirectory, lookup, resolvePath } from "../fstree/fs-reader.ts";
import type { Conflict } from "../fstree/merge/conflict.ts";
import type { Head, MergeContext } from "../fstree/merge/context.ts";
import { mergeSnapshots } from "../fstree/merge/merge-snapshots.ts";
import { Restorer } from "../bucket/writer/restore.ts";
import { type Draft, DraftTree } from "../bucket/writer/draft-tree.ts";
import { ChunkCache } from "../content/chunk-cache.ts";
import { createContentConfig } from "../content/config.ts";
import { readContent } from "../content/read.ts";
import { type FileRecord, newRecord } from "../format/files/record.ts";
import { DEFAULT_POLICY, type Policy } from "../format/commits/policy.ts";
import { createTreeConfig } from "../tree/boundary.ts";
import { NodeStore } from "../tree/node-store.ts";

/** One side of a merge. Of two, the greater (seq, writer, epoch) wins. */
export interface Side {
  readonly tree: Cid;
  readonly seq: number;
  /** 32 hex digits. */
  readonly writer: string;
  readonly epoch: number;
}

export interface MergedFiles {
  readonly tree: Cid;
  readonly conflicts: readonly FileConflict[];
}

export interface FileConflict extends Pick<Conflict, "kind" | "rule"> {
  /** Paths in the merged tree: the version that kept its name, and the one that lost the conflict. */
  readonly kept: string;
  readonly other: string;
}

export interface ListedFile {
  readonly path: string;
  readonly type: FileRecord["type"];
  readonly size: number;
}

/** New bytes of a file, or null to remove a file, or a directory with everything in it. */
export type FileChanges = Readonly<Record<string, string | Uint8Array | null>>;

const CACHE_BYTES = 16 * 1024 * 1024;
const SALT_BYTES = 32;
const OWNER = { uid: 0, gid: 0 };

/** Trees of files in one block store. Paths are names joined by slashes, without a leading slash. */
export class FileTrees {
  readonly #context: MergeContext;

  /** `policy` says which names are text and which are logs. */
  constructor(blocks: BlockStore, policy: Policy = DEFAULT_POLICY) {
    this.#context = {
      nodes: new NodeStore(blocks, { capacityBytes: CACHE_BYTES }),
      content: new ChunkCache(blocks, { capacityBytes: CACHE_BYTES }),
      blocks,
      sink: blocks,
      treeConfig: createTreeConfig({ salt: new Uint8Array(SALT_BYTES) }),
      contentConfig: createContentConfig(),
      policy,
    };
  }

  /** A tree with an empty root directory. */
  empty(): Promise<Cid> {
    const { nodes, sink, treeConfig } = this.#context;
    return rootDirectoryTree(nodes, sink, treeConfig, { mode: 0o755, uid: 0, gid: 0, timeNs: 0n });
  }

  /**
   * The tree after writing or removing these files; missing directories are created. `timeNs` is the files' mtime. Throws
   * `name_invalid`, `not_a_directory`, `is_a_directory`, `no_such_path`.
   */
  async change(tree: Cid, changes: FileChanges, timeNs: bigint): Promise<Cid> {
    const { nodes } = this.#context;
    const draft = new DraftTree(nodes, tree);
    const data = new Map<Ino, Uint8Array>();
    for (const [path, content] of Object.entries(changes)) {
      const names = namesOf(path);
      const name = names.pop() ?? ("" as FileName);
      const directory = await directoryOf(draft, names, path, timeNs);
      const now = await draft.child(directory, name);
      if (content === null) {
        if (now === undefined) throw new SynclineError("no_such_path", `${path} does not exist.`);
        await new Restorer(draft, { nodes, tree }, timeNs).remove(now, directory, name);
        continue;
      }
      if (now !== undefined && now.record.type !== "file")
        throw new SynclineError("is_a_directory", `${path} is not a file.`);
      const bytes = typeof content === "string" ? Buffer.from(content) : content;
      const record = { ...newRecord("file", { mode: 0o644, ...OWNER, timeNs }), size: bytes.length };
      const file = now ?? draft.create(directory, name, record);
      draft.setRecord(file, { ...file.record, size: bytes.length, mtimeNs: timeNs, ctimeNs: timeNs });
      draft.setContent(file, {
        kind: "edited",
        base: { kind: "empty" },
        baseSize: 0,
        segments: bytes.length === 0 ? [] : [{ offset: 0, length: bytes.length, from: "data", epoch: EPOCH }],
      });
      data.set(file.ino, bytes);
    }
    const sealed = { epoch: EPOCH, reference: tree, lamport: 1 as Lamport, ...draft.changes() };
    const built = await rebaseEpoch(this.#context, tree, sealed, {
      readData: async (ino, _epoch, offset, length) => (data.get(ino) ?? NOTHING).subarray(offset, offset + length),
    });
    return built.ours;
  }

  /** Everything in a tree, directories before their entries. Throws `format_invalid` for a directory inside itself. */
  async *list(tree: Cid): AsyncGenerator<ListedFile> {
    const { nodes } = this.#context;
    const open = [{ id: ROOT_ID, prefix: "", entries: listDirectory(nodes, tree, ROOT_ID) }];
    const above = new Set([ROOT_ID]);
    for (let at = open.at(-1); at !== undefined; at = open.at(-1)) {
      const { done, value } = await at.entries.next();
      if (done === true) {
        open.pop();
        above.delete(at.id);
        continue;
      }
      const found = await lookup(nodes, tree, { parent: at.id, name: value.name });
      if (found === undefined) continue;
      const { id, record } = found;
      const path = at.prefix + nameToText(value.name);
      yield { path, type: record.type, size: record.size };
      if (record.type !== "directory") continue;
      if (above.has(id)) throw liesInItself();
      above.add(id);
      open.push({ id, prefix: `${path}/`, entries: listDirectory(nodes, tree, id) });
    }
  }

  /** A file's bytes; undefined if there is no file at this path. */
  async read(tree: Cid, path: string): Promise<Uint8Array | undefined> {
    const { nodes, content } = this.#context;
    const found = await resolvePath(nodes, tree, namesOf(path));
    if (found?.record.type !== "file") return undefined;
    const { record } = found;
    return readContent(content, record.content, record.size, 0, record.size);
  }

  /**
   * Merges two sides' changes to `base`. A pure function of the three; the order of the sides does not matter. Throws `usage`
   * if the sides differ and neither wins.
   */
  async merge(base: Cid, x: Side, y: Side): Promise<MergedFiles> {
    if (x.seq === y.seq && x.writer === y.writer && x.epoch === y.epoch && x.tree !== y.tree)
      throw new SynclineError("usage", "The two sides differ, but have the same seq, writer and epoch.");
    const { tree, conflicts } = await mergeSnapshots(this.#context, base, headOf(x), headOf(y));
    return {
      tree,
      conflicts: conflicts.map(({ kind, rule, names }) => {
        return { kind, rule, kept: textOf(names.kept), other: textOf(names.other) };
      }),
    };
  }
}

/** Epochs are numbered within one change only. */
const EPOCH = 1;
const NOTHING = new Uint8Array();

async function directoryOf(draft: DraftTree, names: readonly FileName[], path: string, timeNs: bigint): Promise<Draft> {
  let directory = await draft.root();
  for (const name of names) {
    const next = await draft.child(directory, name);
    if (next !== undefined && next.record.type !== "directory")
      throw new SynclineError("not_a_directory", `A parent of ${path} is not a directory.`);
    directory = next ?? draft.create(directory, name, newRecord("directory", { mode: 0o755, ...OWNER, timeNs }));
  }
  return directory;
}

/** A lone surrogate has no UTF-8 form, so two such paths could become one. */
function namesOf(path: string): FileName[] {
  if (!path.isWellFormed()) throw new SynclineError("name_invalid", `${JSON.stringify(path)} is not Unicode text.`);
  return path.split("/").map(nameFromText);
}

function headOf({ tree, seq, writer, epoch }: Side): Head {
  if (!/^[0-9a-f]{32}$/.test(writer) || !Number.isSafeInteger(seq) || !Number.isSafeInteger(epoch))
    throw new SynclineError("usage", "A side has a writer of 32 hex digits, and whole numbers as its seq and epoch.");
  return { tree, lamport: seq as Lamport, writer: writer as WriterId, epoch };
}

function textOf(names: readonly FileName[]): string {
  return names.map(nameToText).join("/");
}
