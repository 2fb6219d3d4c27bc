/**
 * Takes objects from one state to another by editing the tree's rows. Building changes a tree in no other way.
 *
 * Derived values are computed here: a directory's count of subdirectories, also in parents that are otherwise untouched.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, FileId } from "../../base/ids.ts";
import { selfKey } from "../../format/files/keys.ts";
import type { LinkBlock } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { encodeSelf } from "../../format/files/rows.ts";
import type { Edit } from "../../tree/entry.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { keyText } from "../../tree/sorted-keys.ts";
import { readSelf } from "../fs-reader.ts";
import { encodeObjectRow, type PlacedObject, type RowKey, rowKeysOf, subdirsAfter } from "../object-rows.ts";

export interface ObjectState extends PlacedObject {
  readonly record: FileRecord;
}

/** An object that appears (no `before`), changes, or goes (no `after`). `before` is what the edited tree holds. */
export interface Transition {
  readonly before: ObjectState | undefined;
  readonly after: ObjectState | undefined;
}

/** Makes an object's final record when its row is due. Rows, and so contents, are made in key order. */
export type FinishRecord = (after: ObjectState) => FileRecord | Promise<FileRecord>;

/** The edits, sorted by key, that apply all transitions to `tree` at once. An object may take a row that another leaves. */
export async function* editsOf(
  nodes: NodeStore,
  tree: Cid,
  transitions: Iterable<Transition>,
  link: LinkBlock,
  finish: FinishRecord = (after) => after.record,
): AsyncGenerator<Edit> {
  const { rows, subdirs } = plan(transitions);
  await addParents(nodes, tree, rows, subdirs);
  rows.sort((a, b) => Buffer.compare(a.key, b.key) || Number(a.owner === undefined) - Number(b.owner === undefined));
  let last: PlannedRow | undefined;
  for (const row of rows) {
    if (last !== undefined && Buffer.compare(last.key, row.key) === 0) {
      if (row.owner !== undefined) throw twoOwners(row.key);
      continue;
    }
    last = row;
    if (row.owner === undefined) yield { key: row.key, value: undefined, links: [] };
    else yield { key: row.key, ...(await valueOf(row, row.owner)) };
  }

  async function valueOf(row: PlannedRow, owner: Owner) {
    if (owner.kind === "parent") return encodeSelf(owner.self, link);
    const record = row.part === "record" ? await finish(owner.state) : owner.state.record;
    const count = row.part === "record" ? await subdirsOf(owner) : 0;
    return encodeObjectRow(owner.state, row, record, count, link);
  }

  async function subdirsOf({ state, existed }: StateOwner): Promise<number> {
    if (state.type !== "directory") return 0;
    const self = existed ? await readSelf(nodes, tree, state.id) : undefined;
    return subdirsAfter(self?.kind === "directory" ? self.subdirs : 0, subdirs.get(state.id) ?? 0);
  }
}

interface StateOwner {
  readonly kind: "state";
  readonly state: ObjectState;
  readonly existed: boolean;
}

type Owner = StateOwner | { readonly kind: "parent"; readonly self: Parameters<typeof encodeSelf>[0] };

/** A row to write; without an owner: a row to remove. */
interface PlannedRow extends RowKey {
  readonly owner: Owner | undefined;
}

/** How many more subdirectories a directory has afterwards. */
type SubdirDeltas = Map<FileId, number>;

function plan(transitions: Iterable<Transition>): { rows: PlannedRow[]; subdirs: SubdirDeltas } {
  const rows: PlannedRow[] = [];
  const subdirs: SubdirDeltas = new Map();
  for (const { before, after } of transitions) {
    for (const row of before === undefined ? [] : rowKeysOf(before)) rows.push({ ...row, owner: undefined });
    if (after !== undefined) {
      const owner: Owner = { kind: "state", state: after, existed: before?.id === after.id };
      for (const row of rowKeysOf(after)) rows.push({ ...row, owner });
    }
    countSubdir(subdirs, before, -1);
    countSubdir(subdirs, after, 1);
  }
  return { rows, subdirs };
}

function countSubdir(subdirs: SubdirDeltas, state: ObjectState | undefined, by: number): void {
  const place = state?.type === "directory" ? state.names[0] : undefined;
  if (place !== undefined) subdirs.set(place.parent, (subdirs.get(place.parent) ?? 0) + by);
}

/** Adds rows of directories whose count changes and that have no transition of their own. */
async function addParents(nodes: NodeStore, tree: Cid, rows: PlannedRow[], subdirs: SubdirDeltas): Promise<void> {
  const handled = new Set<FileId>();
  for (const { owner } of rows) if (owner?.kind === "state") handled.add(owner.state.id);
  const removed = new Set(rows.filter((row) => row.owner === undefined).map((row) => keyText(row.key)));
  for (const [id, by] of subdirs) {
    const key = selfKey(id);
    if (by === 0 || handled.has(id) || removed.has(keyText(key))) continue;
    const self = await readSelf(nodes, tree, id);
    if (self?.kind !== "directory") continue;
    rows.push({
      key,
      part: "record",
      owner: { kind: "parent", self: { ...self, subdirs: subdirsAfter(self.subdirs, by) } },
    });
  }
}

function twoOwners(key: Uint8Array): SynclineError {
  return new SynclineError("internal", `Two objects of one epoch claim the row ${Buffer.from(key).toString("hex")}.`);
}
