/** Trees of many files for benches, made row by row: no filesystem, no bucket. */
import { openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { checkout } from "../drills/lib.ts";

const dist = (path) => import(pathToFileURL(join(checkout, "dist", path)).href);
const [
  { ROOT_ID },
  { nameFromText },
  { cidOf },
  { birthId },
  { encodeObjectRow, rowKeysOf },
  { NO_XATTRS, NOTHING_UNKNOWN },
  { createTreeConfig },
] = await Promise.all(
  [
    "base/ids.js",
    "base/names.js",
    "format/blocks/cid.js",
    "format/files/keys.js",
    "fstree/object-rows.js",
    "format/files/record.js",
    "tree/boundary.js",
  ].map(dist),
);
const { buildTree, editTree } = await dist("tree/edit.js");
const { NodeStore } = await dist("tree/node-store.js");
const { PUBLISH_NODE_CACHE_BYTES } = await dist("base/limits.js");

const FILES_IN_DIRECTORY = 100;
export const treeConfig = createTreeConfig({ salt: new Uint8Array(32) });

/** Blocks in memory, or in one file so that a process is measured without them; counts what is read and put. */
export class CountedBlocks {
  reads = 0;
  requests = 0;
  puts = 0;
  putBytes = 0;
  #held = new Map();
  #file;
  #end = 0;

  /** `path`: the file, which is made, or goes on from what `save` answered; absent: memory. */
  constructor(path, saved) {
    if (path !== undefined) this.#file = openSync(path, saved === undefined ? "w+" : "r+");
    if (saved !== undefined) ({ held: this.#held, end: this.#end } = { held: new Map(saved.held), end: saved.end });
  }

  /** What another process needs to go on with the file. */
  save() {
    return { held: [...this.#held], end: this.#end };
  }

  put({ cid, bytes }) {
    this.puts++;
    this.putBytes += bytes.length;
    if (this.#held.has(cid)) return;
    if (this.#file === undefined) return void this.#held.set(cid, bytes);
    writeSync(this.#file, bytes, 0, bytes.length, this.#end);
    this.#held.set(cid, { at: this.#end, length: bytes.length });
    this.#end += bytes.length;
  }

  async get(cid) {
    return (await this.getMany([cid])).get(cid);
  }

  async getMany(cids) {
    this.requests++;
    this.reads += cids.length;
    return new Map(cids.map((cid) => [cid, this.#read(this.#held.get(cid))]));
  }

  #read(held) {
    if (this.#file === undefined) return held;
    const bytes = Buffer.allocUnsafeSlow(held.length);
    readSync(this.#file, bytes, 0, held.length, held.at);
    return bytes;
  }

  /** How many there are. */
  get count() {
    return this.#held.size;
  }

  /** Keeps the first ones only. */
  forgetBlocks(kept) {
    for (const cid of [...this.#held.keys()].slice(kept)) this.#held.delete(cid);
  }

  forgetCounts() {
    this.reads = this.requests = this.puts = this.putBytes = 0;
  }
}

/** Nodes as one publication has them in memory. */
export function nodesOf(blocks) {
  return new NodeStore(blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
}

/** A tree of `count` files, 100 in a directory. */
export function treeOfFiles(blocks, count) {
  return buildTree(nodesOf(blocks), blocks, treeConfig, rowsOfFiles("d", count, 0));
}

/** The tree with `count` new files in new directories, besides the `before` that it has. */
export function withNewFiles(blocks, tree, before, count) {
  const rows = rowsOfFiles("new", count, directoriesFor(before));
  return editTree(nodesOf(blocks), blocks, treeConfig, tree, rows);
}

/** The tree with new bytes in these files, told by their numbers. */
export function withEdits(blocks, tree, numbers, bytes) {
  const edits = numbers.map((number) => {
    const { directory, name } = fileAt("d", number);
    return rowOf(directory, name, recordOf("file", bytes));
  });
  return editTree(nodesOf(blocks), blocks, treeConfig, tree, edits.sort(byKey));
}

/** All rows in the order of their keys, a directory at a time: a million need no memory of their own. */
function* rowsOfFiles(prefix, count, directoriesBefore) {
  const made = Array.from({ length: directoriesFor(count) }, (_, index) => directoryAt(prefix, index));
  const root = { id: ROOT_ID, type: "directory", names: [] };
  yield* rowsOf(root, recordOf("directory"), directoriesBefore + made.length);
  yield* made.map(({ object }) => rowsOf(object, recordOf("directory"), 0)[1]).sort(byKey);
  for (const { index, object } of made.sort((a, b) => (a.object.id < b.object.id ? -1 : 1))) {
    yield rowsOf(object, recordOf("directory"), 0)[0];
    const files = Math.min(FILES_IN_DIRECTORY, count - index * FILES_IN_DIRECTORY);
    for (let file = 0; file < files; file++)
      yield rowOf(object.id, fileName(file), recordOf("file", `${prefix} ${index} ${file}`));
  }
}

function directoriesFor(files) {
  return Math.ceil(files / FILES_IN_DIRECTORY);
}

function directoryAt(prefix, index) {
  const name = nameFromText(`${prefix}${String(index).padStart(5, "0")}`);
  const id = birthId(ROOT_ID, name, "directory", 0);
  return { index, object: { id, type: "directory", names: [{ parent: ROOT_ID, name }] } };
}

function fileAt(prefix, number) {
  const { object } = directoryAt(prefix, Math.floor(number / FILES_IN_DIRECTORY));
  return { directory: object.id, name: fileName(number % FILES_IN_DIRECTORY) };
}

function fileName(number) {
  return nameFromText(`document-${String(number).padStart(3, "0")}.dat`);
}

function rowOf(parent, name, record) {
  return rowsOf({ id: birthId(parent, name, "file", 0), type: "file", names: [{ parent, name }] }, record, 0)[0];
}

function rowsOf(object, record, subdirs) {
  const link = () => cidOf("raw", new Uint8Array());
  return rowKeysOf(object).map((row) => {
    const { value, links } = encodeObjectRow(object, row, record, subdirs, link);
    return { key: row.key, value, links };
  });
}

/** `bytes` stand for what a file holds: a chunk of that name, which no merge of different files reads. */
function recordOf(type, bytes = "") {
  const file = type === "file";
  const content = file ? { kind: "chunk", cid: cidOf("raw", Buffer.from(bytes)) } : { kind: "empty" };
  return {
    type,
    mode: file ? 0o644 : 0o755,
    uid: 0,
    gid: 0,
    size: file ? 4_096 : 0,
    mtimeNs: 1n,
    ctimeNs: 1n,
    rdev: 0,
    xattrs: NO_XATTRS,
    content,
    target: "",
    conflict: undefined,
    unknown: NOTHING_UNKNOWN,
  };
}

function byKey(a, b) {
  return Buffer.compare(a.key, b.key);
}
