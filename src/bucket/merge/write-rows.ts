/** From the layer of changed objects to rows, and from rows to the merged tree: one ordered edit of the staying tree. */
import type { Cid, FileId } from "../../base/ids.ts";
import { cidOf } from "../../format/cid.ts";
import type { LinkBlock } from "../../format/linked-value.ts";
import { editTree } from "../../tree/edit.ts";
import type { Edit } from "../../tree/entry.ts";
import type { TreeObject } from "../fs-reader.ts";
import { encodeObjectRow, rowKeysOf } from "../object-rows.ts";
import type { MergeContext } from "./context.ts";
import type { MergedTree } from "./merged-tree.ts";
import { isDirectory } from "./objects.ts";

/** `stored` turns an object as the merge sees it into that of the staying tree's rows (splits.ts). */
export async function writeRows(
  context: MergeContext,
  staying: Cid,
  merged: MergedTree,
  stored: (object: TreeObject) => TreeObject,
): Promise<Cid> {
  await layerCountedParents(merged);
  const puts: (void | Promise<void>)[] = [];
  const link: LinkBlock = (bytes) => {
    const cid = cidOf("dag-cbor", bytes);
    puts.push(context.sink.put({ cid, bytes }));
    return cid;
  };
  const counts = subdirChanges(merged);
  const edits = new Map<string, Edit>();
  for (const [, { stay }] of merged.layered()) {
    if (stay === undefined) continue;
    for (const { key } of rowKeysOf(placed(stored(stay)))) edits.set(textOf(key), { key, value: undefined, links: [] });
  }
  for (const [id, { stay, now }] of merged.layered()) {
    if (now === undefined) continue;
    const subdirs = (stay?.subdirs ?? 0) + (counts.get(id) ?? 0);
    for (const { key, part } of rowKeysOf(placed(now)))
      edits.set(textOf(key), { key, ...encodeObjectRow(placed(now), part, now.record, subdirs, link) });
  }
  await Promise.all(puts);
  const sorted = [...edits].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, edit]) => edit);
  return editTree(context.nodes, context.sink, context.treeConfig, staying, sorted);
}

/** By how much the number of directories in a directory differs from what the staying tree says. */
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

/** Directories whose count changes have a row to write, even if nothing else of them changed. */
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

/** Keys as byte strings: their order is that of the bytes. */
function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}
