/**
 * Turns the layer of changed objects into rows, and the rows into the merged tree. Nodes of either side are reused where a
 * row-by-row merge of the three trees gives the merged rows. At all other keys, the layer decides.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import { nodesInto } from "../../blocks/block-codec.ts";
import type { LinkBlock } from "../../format/blocks/linked-value.ts";
import { sameContents } from "../../tree/entry.ts";
import { mergeTrees } from "../../tree/merge.ts";
import type { Resolution } from "../../tree/merge-leaves.ts";
import type { TreeObject } from "../fs-reader.ts";
import { encodeObjectRow, rowKeysOf, subdirsAfter } from "../object-rows.ts";
import { keyText } from "./changes.ts";
import type { ChangedRow } from "./changes.ts";
import type { MergeContext } from "./context.ts";
import type { Layered, MergedTree } from "./merged-tree.ts";
import { isDirectory } from "./objects.ts";

export interface WrittenFrom {
  /** The rows that the changed side changed. */
  readonly rows: ReadonlyMap<string, ChangedRow>;
  /** Whether the changed side's rows of this object are taken, and the staying side has them as the base does. */
  isTaken(id: FileId): boolean;
  /** Turns an object as the merge sees it into its form in the staying tree's rows (splits.ts). */
  stored(object: TreeObject): TreeObject;
}

/** The merged row at a key, by the key's text. */
type Rows = Map<string, Resolution | typeof STAYS>;

/** As the staying tree has it. */
const STAYS = Symbol("as the staying tree has it");

export async function writeRows(
  context: MergeContext,
  trees: Readonly<Record<"base" | "changed" | "staying", Cid>>,
  merged: MergedTree,
  from: WrittenFrom,
): Promise<Cid> {
  await layerCountedParents(merged);
  const puts: (void | Promise<void>)[] = [];
  const link = nodesInto(context.sink, (put) => void puts.push(put));
  const rows = layeredRows(merged, from, link);
  await Promise.all(puts);
  settleChangedRows(rows, from);
  const { nodes, sink, treeConfig } = context;
  const forced = [...rows.keys()].sort().map((key) => Buffer.from(key, "latin1"));
  return mergeTrees(nodes, sink, treeConfig, trees.base, trees.changed, trees.staying, resolve, forced);

  function resolve(key: Uint8Array, _base: unknown, _changed: unknown, staying: Resolution): Resolution {
    const text = keyText(key);
    const row = rows.get(text);
    if (row === undefined && !rows.has(text))
      throw new SynclineError("internal", "Both sides changed a row that the merge did not resolve.");
    return row === STAYS ? staying : row;
  }
}

/** The merged rows of all objects of the layer except the taken ones; rows that only the staying tree has are removed. */
function layeredRows(merged: MergedTree, { isTaken, stored }: WrittenFrom, link: LinkBlock): Rows {
  const rows: Rows = new Map();
  const counts = subdirChanges(merged);
  const written: [FileId, Layered][] = [];
  for (const entry of merged.layered()) if (!isTaken(entry[0])) written.push(entry);
  for (const [, { stay }] of written) {
    if (stay === undefined) continue;
    for (const { key } of rowKeysOf(placed(stored(stay)))) rows.set(keyText(key), undefined);
  }
  for (const [id, { stay, now }] of written) {
    if (now === undefined) continue;
    const subdirs = subdirsAfter(stay?.subdirs ?? 0, counts.get(id) ?? 0);
    for (const row of rowKeysOf(placed(now)))
      rows.set(keyText(row.key), encodeObjectRow(placed(now), row, now.record, subdirs, link));
  }
  return rows;
}

/** A row-by-row merge takes the changed side's version of every row that it changed, unless `rows` says otherwise. */
function settleChangedRows(rows: Rows, { rows: changed, isTaken }: WrittenFrom): void {
  for (const [key, { before, after, alone, contents }] of changed) {
    const isSaid = rows.has(key);
    const said = rows.get(key);
    if (after !== undefined && isTaken(after)) {
      if (said === undefined) rows.delete(key);
    } else if (!isSaid) {
      if (before === undefined || !isTaken(before)) rows.set(key, STAYS);
      else if (after !== undefined) rows.set(key, undefined);
    } else if (alone && said !== STAYS) {
      const agreed = said === undefined ? after === undefined : contents !== undefined && sameContents(said, contents);
      if (agreed) rows.delete(key);
    }
  }
}

/** By how much each directory's subdirectory count differs from what the staying tree says. */
function subdirChanges(merged: MergedTree): Map<FileId, number> {
  const changes = new Map<FileId, number>();
  const count = (object: TreeObject | undefined, by: number) => {
    const parent = object?.names[0]?.parent;
    if (object === undefined || parent === undefined || !isDirectory(object)) return;
    changes.set(parent, (changes.get(parent) ?? 0) + by);
  };
  for (const [, { stay, now }] of merged.layered()) {
    count(stay, -1);
    count(now, 1);
  }
  return changes;
}

/** A directory whose count changes needs a row written, even if nothing else about it changed. */
async function layerCountedParents(merged: MergedTree): Promise<void> {
  for (const [id, change] of subdirChanges(merged)) {
    if (change === 0 || merged.get(id) !== undefined) continue;
    const directory = await merged.object(id);
    merged.layer(id, directory, directory);
  }
}

function placed({ id, record, names }: TreeObject): {
  id: FileId;
  type: TreeObject["record"]["type"];
  names: TreeObject["names"];
} {
  return { id, type: record.type, names };
}
