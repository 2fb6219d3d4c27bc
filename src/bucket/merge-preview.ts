/** What a merge would do, and why: merges two commits on a base of one bucket in memory, and writes nothing. */
import { type Cid, type FileName, ROOT_ID } from "../base/ids.ts";
import { PUBLISH_CHUNK_CACHE_BYTES, PUBLISH_NODE_CACHE_BYTES } from "../base/limits.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { MemoryBlockStore } from "../blocks/memory-block-store.ts";
import { ChunkCache } from "../content/chunk-cache.ts";
import { decodeSelf } from "../format/files/rows.ts";
import { parseKey } from "../format/files/keys.ts";
import { type Change, diff } from "../tree/diff.ts";
import { NodeStore } from "../tree/node-store.ts";
import type { Bucket } from "./bucket.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { lookup, pathOfDirectory, readBackrefs, type TreeObject } from "../fstree/fs-reader.ts";
import type { Conflict } from "../fstree/merge/conflict.ts";
import { type Head, type MergeContext, wins } from "../fstree/merge/context.ts";
import { mergeSnapshots } from "../fstree/merge/merge-snapshots.ts";
import { sameVersion } from "../fstree/merge/objects.ts";
import { type Place, placeText } from "../fstree/object-rows.ts";

/** What a side, or the merge, did at a name. */
export type Action = "added" | "changed" | "removed" | "nothing";

export interface PreviewedPath {
  readonly path: readonly FileName[];
  readonly x: Action;
  readonly y: Action;
  readonly merged: Action;
  /** The row of the merge's table that decided. */
  readonly rule: string;
}

export interface MergePreview {
  readonly tree: Cid;
  readonly winner: "x" | "y";
  /** Every name that a side or the merge changed, up to the limit. */
  readonly paths: readonly PreviewedPath[];
  readonly complete: boolean;
  readonly conflicts: readonly Conflict[];
}

/** The most names to list. */
const MAX_PATHS = 10_000;

/** Throws `block_not_found` when blocks of one of the three are gone, and as reading does. */
export async function previewMerge(
  bucket: Bucket,
  base: VerifiedCommit,
  x: VerifiedCommit,
  y: VerifiedCommit,
): Promise<MergePreview> {
  const context = await contextOf(bucket, base);
  const [first, second] = [headOf(x), headOf(y)];
  const { tree, conflicts } = await mergeSnapshots(context, base.body.tree, first, second);
  const trees = { base: base.body.tree, x: first.tree, y: second.tree, merged: tree };
  const { places, complete } = await changedPlaces(context.nodes, trees);
  const paths: PreviewedPath[] = [];
  const decided = new Map(
    conflicts.flatMap(({ names, rule }) => [names.kept, names.other].map((n) => [textOf(n), rule])),
  );
  for (const place of places) {
    const path = await pathIn(context.nodes, [tree, first.tree, second.tree, trees.base], place);
    const at = await Promise.all(
      [trees.base, trees.x, trees.y, trees.merged].map((each) => lookup(context.nodes, each, place)),
    );
    const [old, ours, theirs, now] = at;
    const actions = { x: actionOf(old, ours), y: actionOf(old, theirs), merged: actionOf(old, now) };
    if (Object.values(actions).every((action) => action === "nothing")) continue;
    paths.push({ path, ...actions, rule: decided.get(textOf(path)) ?? ruleOf(ours, theirs, now, actions) });
  }
  paths.sort((a, b) => (textOf(a.path) < textOf(b.path) ? -1 : 1));
  return { tree, winner: wins(first, second) ? "x" : "y", paths, complete, conflicts };
}

interface Trees {
  readonly base: Cid;
  readonly x: Cid;
  readonly y: Cid;
  readonly merged: Cid;
}

async function contextOf(bucket: Bucket, base: VerifiedCommit): Promise<MergeContext> {
  const made = new MemoryBlockStore();
  const blocks = layered(made, bucket.blocks);
  const { treeConfig, contentConfig } = bucket;
  return {
    nodes: new NodeStore(blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES }),
    content: new ChunkCache(blocks, { capacityBytes: PUBLISH_CHUNK_CACHE_BYTES }),
    blocks,
    sink: made,
    treeConfig,
    contentConfig,
    policy: await bucket.policy(base),
  };
}

/** Reads the merge's new blocks from memory and all others from the bucket. */
function layered(made: MemoryBlockStore, stored: BlockReader): BlockReader {
  const getMany = async (cids: readonly Cid[]) => {
    const missing = cids.filter((cid) => !made.blocks.has(cid));
    const found = new Map(missing.length === 0 ? [] : await stored.getMany(missing));
    for (const cid of cids) {
      const bytes = made.blocks.get(cid);
      if (bytes !== undefined) found.set(cid, bytes);
    }
    return found;
  };
  const get = async (cid: Cid) => made.blocks.get(cid) ?? stored.get(cid);
  return { get, getMany };
}

function headOf({ body }: VerifiedCommit): Head {
  return { tree: body.tree, lamport: body.seq, writer: body.writer, epoch: body.epoch };
}

/** The names at which one of the three differs from the base. */
async function changedPlaces(nodes: NodeStore, trees: Trees): Promise<{ places: Place[]; complete: boolean }> {
  const places = new Map<string, Place>();
  for (const tree of [trees.x, trees.y, trees.merged]) {
    for await (const change of diff(nodes, trees.base, tree)) {
      for (const place of await placesOf(nodes, [tree, trees.base], change)) places.set(placeText(place), place);
      if (places.size > MAX_PATHS) return { places: [...places.values()], complete: false };
    }
  }
  return { places: [...places.values()], complete: true };
}

/** A dentry's place; all names of a hard-linked file's record. None for a directory's: it changes with its entries. */
async function placesOf(
  nodes: NodeStore,
  trees: readonly Cid[],
  { key: bytes, before, after }: Change,
): Promise<Place[]> {
  const key = parseKey(bytes);
  if (key.kind === "dentry") return [{ parent: key.id, name: key.name }];
  const row = after ?? before;
  if (key.kind === "backref" || row === undefined || decodeSelf(key.id, row).kind === "directory") return [];
  return (await Promise.all(trees.map((tree) => readBackrefs(nodes, tree, key.id)))).flat();
}

async function pathIn(nodes: NodeStore, trees: readonly Cid[], { parent, name }: Place): Promise<FileName[]> {
  for (const tree of trees) {
    const above = parent === ROOT_ID ? [] : await pathOfDirectory(nodes, tree, parent);
    if (above !== undefined) return [...above, name];
  }
  return [name];
}

function actionOf(before: TreeObject | undefined, after: TreeObject | undefined): Action {
  if (before === undefined) return after === undefined ? "nothing" : "added";
  if (after === undefined) return "removed";
  return isSame(before, after) ? "nothing" : "changed";
}

/** The same object with the same bytes and fields. Times of directories follow their entries. */
function isSame(a: TreeObject, b: TreeObject): boolean {
  if (a.id !== b.id || a.record.mode !== b.record.mode) return false;
  if (a.record.type === "directory") return true;
  return sameVersion(a.record, b.record) && a.record.mtimeNs === b.record.mtimeNs;
}

/** The rule for a name without a conflict. */
function ruleOf(
  ours: TreeObject | undefined,
  theirs: TreeObject | undefined,
  now: TreeObject | undefined,
  { x, y }: { readonly x: Action; readonly y: Action },
): string {
  if (x === "nothing" && y === "nothing") return "follows from decisions at other names";
  if (x === "nothing" || y === "nothing") return "changed on one side only";
  if (ours === undefined && theirs === undefined) return "same change on both";
  if (ours !== undefined && theirs !== undefined) return ruleOfTwo(ours, theirs, now, x === "added" && y === "added");
  return now === undefined ? "chmod, owner, times, xattrs / delete, or moved away" : "content / delete";
}

function ruleOfTwo(ours: TreeObject, theirs: TreeObject, now: TreeObject | undefined, added: boolean): string {
  if (isSame(ours, theirs)) return "same change on both";
  if (added && ours.record.type === "directory" && theirs.record.type === "directory")
    return "create / create, both directories";
  if (sameVersion(ours.record, theirs.record))
    return added ? "create / create, equal bytes" : "mode, owner, times, xattrs";
  const sides = [ours, theirs].map(({ record }) => record);
  if (now !== undefined && !sides.some((side) => sameVersion(side, now.record)))
    return "content / content, text, or append / append on a log";
  return "mode, owner, times, xattrs, or rename / content";
}

function textOf(path: readonly FileName[]): string {
  return path.join("/");
}
