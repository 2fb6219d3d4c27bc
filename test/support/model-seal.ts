/**
 * Seals a model filesystem: assigns ids by the rules of docs/design/merge.md (Identity), and builds the tree from its whole
 * state. Written from the rules alone, as a second opinion on fstree/rebase. Also reads a tree back into a model.
 */
import type { Cid, FileId, FileName } from "../../src/base/ids.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { nameFromText, nameToText } from "../../src/base/names.ts";
import { readContent } from "../../src/content/read.ts";
import { writeBytes } from "../../src/content/write.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { birthId } from "../../src/format/files/keys.ts";
import { isLinked } from "../../src/format/blocks/linked-value.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import { encodeObjectRow, rowKeysOf } from "../../src/fstree/object-rows.ts";
import type { Place } from "../../src/fstree/object-rows.ts";
import { resolvePath } from "../../src/fstree/fs-reader.ts";
import { listDirectory, lookup } from "../../src/fstree/fs-reader.ts";
import type { MergeContext } from "../../src/fstree/merge/context.ts";
import type { Entry } from "../../src/tree/entry.ts";
import { buildTree } from "../../src/tree/edit.ts";
import { ModelFilesystem } from "./model-filesystem.ts";
import type { ModelInode } from "./model-filesystem.ts";

/** The last sealed state: each object's type and names. */
type Sealed = Map<FileId, { readonly type: string; readonly names: readonly Place[] }>;

export class ModelSealer {
  readonly model: ModelFilesystem;
  readonly #context: MergeContext;
  #last: Sealed;

  constructor(context: MergeContext, model: ModelFilesystem, last: Sealed = new Map()) {
    this.#context = context;
    this.model = model;
    this.#last = last;
  }

  /** A writer that starts from a tree. */
  static async open(context: MergeContext, tree: Cid, time: number): Promise<ModelSealer> {
    const model = await readModel(context, tree, time);
    const sealer = new ModelSealer(context, model);
    sealer.#last = sealedState(model);
    return sealer;
  }

  /** Assigns missing ids, and returns the tree of the whole model. */
  async seal(): Promise<Cid> {
    giveIds(this.model, this.#last);
    this.#last = sealedState(this.model);
    return buildFrom(this.#context, this.model);
  }
}

/** The tree as a model, hard links as shared inodes. */
export async function readModel(context: MergeContext, tree: Cid, time = 0): Promise<ModelFilesystem> {
  const known = new Map<FileId, ModelInode>();
  const root = await resolvePath(context.nodes, tree, []);
  const read = async (id: FileId, record: FileRecord): Promise<ModelInode> => {
    const seen = known.get(id);
    if (seen !== undefined) return seen;
    const type = record.type as ModelInode["type"];
    const content = await textOf(context, record);
    const { mode, uid, gid, conflict } = record;
    const values = isLinked(record.xattrs) ? [] : [...record.xattrs];
    const xattrs = new Map(values.map(([name, value]) => [name, Buffer.from(value).toString("utf8")]));
    const inode: ModelInode = {
      type,
      id,
      replaces: undefined,
      mode,
      uid,
      gid,
      xattrs,
      content,
      mtime: Number(record.mtimeNs),
      conflict,
      entries: new Map(),
    };
    known.set(id, inode);
    if (type !== "directory") return inode;
    for await (const { name } of listDirectory(context.nodes, tree, id)) {
      const child = await lookup(context.nodes, tree, { parent: id, name });
      if (child !== undefined) inode.entries.set(nameToText(name), await read(child.id, child.record));
    }
    return inode;
  };
  return new ModelFilesystem(time, root === undefined ? undefined : await read(ROOT_ID, root.record));
}

function giveIds(model: ModelFilesystem, last: Sealed): void {
  const alive = new Set<FileId>();
  const places = new Map<ModelInode, { parent: ModelInode; name: string }[]>();
  const order: ModelInode[] = [];
  const visit = (directory: ModelInode) => {
    for (const [name, child] of directory.entries) {
      const known = places.get(child);
      if (known === undefined) order.push(child);
      places.set(child, [...(known ?? []), { parent: directory, name }]);
      if (child.id !== undefined) alive.add(child.id);
      if (child.type === "directory") visit(child);
    }
  };
  visit(model.root);
  // An object renamed over a file that is gone takes that file's id, wherever it is.
  for (const inode of order) {
    if (inode.id !== undefined || inode.replaces === undefined || alive.has(inode.replaces)) continue;
    inode.id = inode.replaces;
    alive.add(inode.id);
  }
  const before = new Map([...last].flatMap(([id, { names }]) => names.map((place) => [placeOf(place), id])));
  // Directories first, parents before children; then files, whose parents all have ids.
  const parentsFirst = [
    ...order.filter(({ type }) => type === "directory"),
    ...order.filter(({ type }) => type !== "directory"),
  ];
  for (const inode of parentsFirst) {
    if (inode.id !== undefined) continue;
    const names = (places.get(inode) ?? [])
      .map(({ parent, name }) => ({ parent: parent.id ?? ROOT_ID, name: nameFromText(name) }))
      .sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
    const [place] = names;
    if (place === undefined) continue;
    inode.id = replacedId(inode, names, before, last, alive) ?? freshId(inode, place, last, alive);
    alive.add(inode.id);
  }
}

/** Rule 1: the id of an object of this type whose only name was here, and which is gone. */
function replacedId(
  inode: ModelInode,
  names: readonly Place[],
  before: ReadonlyMap<string, FileId>,
  last: Sealed,
  alive: ReadonlySet<FileId>,
): FileId | undefined {
  const [place] = names;
  const id = place === undefined || names.length > 1 ? undefined : before.get(placeOf(place));
  const old = id === undefined ? undefined : last.get(id);
  if (id === undefined || alive.has(id) || old?.type !== inode.type || old.names.length > 1) return undefined;
  return id;
}

/** Rule 2: the birth id with the smallest generation that no object of the old or the new tree has. */
function freshId(inode: ModelInode, place: Place, last: Sealed, alive: ReadonlySet<FileId>): FileId {
  for (let generation = 0; ; generation++) {
    const id = birthId(place.parent, place.name, inode.type, generation);
    if (!last.has(id) && !alive.has(id)) return id;
  }
}

function sealedState(model: ModelFilesystem): Sealed {
  const state = new Map<FileId, { type: string; names: Place[] }>();
  const visit = (directory: ModelInode) => {
    for (const [name, child] of directory.entries) {
      const id = child.id ?? ROOT_ID;
      const known = state.get(id) ?? { type: child.type, names: [] };
      state.set(id, known);
      known.names.push({ parent: directory.id ?? ROOT_ID, name: nameFromText(name) });
      if (child.type === "directory") visit(child);
    }
  };
  visit(model.root);
  return state;
}

async function buildFrom(context: MergeContext, model: ModelFilesystem): Promise<Cid> {
  const inodes = new Map<FileId, ModelInode>([[ROOT_ID, model.root]]);
  for (const [, inode] of model.paths()) if (inode.id !== undefined) inodes.set(inode.id, inode);
  const names = sealedState(model);
  const rows: Entry[] = [];
  const link = (bytes: Uint8Array) => {
    const cid = cidOf("dag-cbor", bytes);
    void context.sink.put({ cid, bytes });
    return cid;
  };
  for (const [id, inode] of inodes) {
    const places = [...(names.get(id)?.names ?? [])].sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
    const object = { id, type: inode.type, names: places };
    const record = await recordOf(context, inode);
    const subdirs = [...inode.entries.values()].filter(({ type }) => type === "directory").length;
    for (const row of rowKeysOf(object))
      rows.push({ key: row.key, ...encodeObjectRow(object, row, record, subdirs, link) });
  }
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  return buildTree(context.nodes, context.sink, context.treeConfig, rows);
}

async function recordOf(
  context: MergeContext,
  { type, mode, uid, gid, xattrs, content, mtime, conflict }: ModelInode,
): Promise<FileRecord> {
  const bytes = Buffer.from(content, "utf8");
  return {
    type,
    mode,
    uid,
    gid,
    size: bytes.length,
    mtimeNs: BigInt(mtime),
    ctimeNs: BigInt(mtime),
    rdev: 0,
    xattrs: new Map(
      [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, Buffer.from(value)]),
    ),
    content: type === "file" ? await writeBytes(context.sink, context.contentConfig, bytes) : { kind: "empty" },
    target: type === "symlink" ? bytes.toString("latin1") : "",
    conflict,
    unknown: new Map(),
  };
}

async function textOf({ content: source }: MergeContext, record: FileRecord): Promise<string> {
  if (record.type === "symlink" && typeof record.target === "string")
    return Buffer.from(record.target, "latin1").toString("utf8");
  const bytes = await readContent(source, record.content, record.size, 0, record.size);
  return Buffer.from(bytes).toString("utf8");
}

function placeOf({ parent, name }: { parent: FileId; name: FileName }): string {
  return parent + name;
}
