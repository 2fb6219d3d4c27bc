/**
 * Turns the layer of changed objects into rows, and the rows into the merged tree. Nodes of either side are reused where a
 * row-by-row merge of the three trees gives the merged rows. At all other keys, the layer decides.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import { nodeAddress, nodesInto } from "../../blocks/block-codec.ts";
import type { LinkBlock } from "../../format/blocks/linked-value.ts";
import { sameContents } from "../../tree/entry.ts";
import { mergeTrees } from "../../tree/merge.ts";
import type { Resolution } from "../../tree/merge-leaves.ts";
import { keyText, SortedKeys } from "../../tree/sorted-keys.ts";
import type { TreeObject } from "../fs-reader.ts";
import { encodeObjectRow, rowKeysOf, subdirsAfter } from "../object-rows.ts";
import type { PlacedObject, RowKey } from "../object-rows.ts";
import type { ChangedRow } from "./changes.ts";
import type { MergeContext } from "./context.ts";
import type { Layered, MergedTree, StayingObject } from "./merged-tree.ts";

export interface WrittenFrom {
  /** The rows that the changed side changed. */
  readonly rows: ReadonlyMap<string, ChangedRow>;
  /** Whether the changed side's rows of this object are taken, and the staying side has them as the base does. */
  isTaken(id: FileId): boolean;
  /** Turns an object as the merge sees it into its form in the staying tree's rows (splits.ts). */
  stored(object: StayingObject): StayingObject;
}

/** The merged row at a key, by the key's text. Undefined: none. */
type Rows = Map<string, MergedRow | typeof STAYS | undefined>;

/** A row of this object. It is encoded when it is due: of very many objects, encoded rows would fill memory. */
interface MergedRow extends Omit<RowKey, "key"> {
  readonly now: TreeObject;
  readonly subdirs: number;
}

/** As the staying tree has it. */
const STAYS = Symbol("as the staying tree has it");

export async function writeRows(
  context: MergeContext,
  trees: Readonly<Record<"base" | "changed" | "staying", Cid>>,
  merged: MergedTree,
  from: WrittenFrom,
): Promise<Cid> {
  await layerCountedParents(merged);
  const rows = layeredRows(merged, from);
  settleChangedRows(rows, from);
  const { nodes, sink, treeConfig } = context;
  const forced = new SortedKeys([...rows.keys()].sort());
  return mergeTrees(nodes, sink, treeConfig, trees.base, trees.changed, trees.staying, resolve, forced);

  function resolve(
    key: Uint8Array,
    _base: unknown,
    _changed: unknown,
    staying: Resolution,
  ): Resolution | Promise<Resolution> {
    const text = keyText(key);
    const row = rows.get(text);
    if (row === undefined && !rows.has(text))
      throw new SynclineError("internal", "Both sides changed a row that the merge did not resolve.");
    if (row === undefined || row === STAYS) return row === STAYS ? staying : undefined;
    const puts: (void | Promise<void>)[] = [];
    const encoded = encodedRow(
      row,
      nodesInto(sink, (put) => void puts.push(put)),
    );
    return puts.length === 0 ? encoded : Promise.all(puts).then(() => encoded);
  }
}

function encodedRow(row: MergedRow, link: LinkBlock): NonNullable<Resolution> {
  const { now, subdirs } = row;
  return encodeObjectRow(placed(now), row, now.record, subdirs, link);
}

/** The merged rows of all objects of the layer except the taken ones; rows that only the staying tree has are removed. */
function layeredRows(merged: MergedTree, { isTaken, stored }: WrittenFrom): Rows {
  const rows: Rows = new Map();
  const counts = subdirChanges(merged);
  const written: [FileId, Layered][] = [];
  for (const entry of merged.layered()) if (!isTaken(entry[0])) written.push(entry);
  for (const [, { stay }] of written) {
    if (stay === undefined) continue;
    for (const { key } of rowKeysOf(stored(stay))) rows.set(keyText(key), undefined);
  }
  for (const [id, { stay, now }] of written) {
    if (now === undefined) continue;
    const subdirs = subdirsAfter(stay?.subdirs ?? 0, counts.get(id) ?? 0);
    for (const { key, part, stated } of rowKeysOf(placed(now))) rows.set(keyText(key), { now, part, stated, subdirs });
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
      const agreed =
        said === undefined
          ? after === undefined
          : contents !== undefined && sameContents(encodedRow(said, nodeAddress), contents);
      if (agreed) rows.delete(key);
    }
  }
}

/** By how much each directory's subdirectory count differs from what the staying tree says. */
function subdirChanges(merged: MergedTree): Map<FileId, number> {
  const changes = new Map<FileId, number>();
  const count = (object: PlacedObject | undefined, by: number) => {
    const parent = object?.names[0]?.parent;
    if (parent === undefined || object?.type !== "directory") return;
    changes.set(parent, (changes.get(parent) ?? 0) + by);
  };
  for (const [, { stay, now }] of merged.layered()) {
    count(stay, -1);
    count(now && placed(now), 1);
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

function placed({ id, record, names }: TreeObject): PlacedObject {
  return { id, type: record.type, names };
}
