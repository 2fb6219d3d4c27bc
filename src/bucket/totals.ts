/** A tree's totals, updated from what changed (docs/reference/formats.md, Commit: totals). */
import { isDamage, unlessDamaged } from "../base/errors.ts";
import type { Totals } from "../format/commits/commit-body.ts";
import { type Cid, ROOT_ID } from "../base/ids.ts";
import { unlessSync } from "../base/unless.ts";
import { parseKey } from "../format/files/keys.ts";
import type { FileRecord } from "../format/files/record.ts";
import { decodeDentry, decodeSelf } from "../format/files/rows.ts";
import { diff } from "../tree/diff.ts";
import type { Entry } from "../tree/entry.ts";
import type { NodeStore } from "../tree/node-store.ts";
import { range } from "../tree/read.ts";

export const NO_TOTALS: Totals = { files: 0, directories: 0, bytes: 0 };

/** Stands for every larger total, too. */
const MAX_TOTAL = Number.MAX_SAFE_INTEGER;
const FIELDS = ["files", "directories", "bytes"] as const;

/**
 * The totals of tree `to`, given those of tree `from`. Reads only the difference, or the whole tree if the
 * difference leaves a total uncertain.
 */
export async function totalsAfter(nodes: NodeStore, from: Cid, totals: Totals, to: Cid): Promise<Totals> {
  let change = NO_TOTALS;
  let isExact = true;
  for await (const { before, after } of diff(nodes, from, to)) {
    if (before !== undefined) change = sum(change, totalsOfRow(before), -1);
    if (after !== undefined) change = sum(change, totalsOfRow(after), 1);
    isExact &&= Number.isSafeInteger(change.bytes);
  }
  const result = sum(totals, change, 1);
  const isKnown = isExact && FIELDS.every((field) => follows(totals[field], result[field]));
  const counted = isKnown ? undefined : await unlessDamaged(() => countTotals(nodes, to));
  return counted ?? clamped(result);
}

/** Whether the new total is right. MAX_TOTAL may stand for more, so after it only growth is. */
function follows(before: number, after: number): boolean {
  return before === MAX_TOTAL ? after >= MAX_TOTAL : after >= 0 && after <= MAX_TOTAL;
}

/** Counts a tree. Leaves out damaged rows, as `verify` does. Rejects as NodeStore.node. */
async function countTotals(nodes: NodeStore, tree: Cid): Promise<Totals> {
  let totals = NO_TOTALS;
  for await (const entry of range(nodes, tree)) {
    totals = addTotals(
      totals,
      unlessSync(isDamage, () => totalsOfRow(entry), NO_TOTALS),
    );
  }
  return totals;
}

/** One row's contribution: each object has exactly one row that holds its record. */
export function totalsOfRow(entry: Entry): Totals {
  const key = parseKey(entry.key);
  if (key.kind === "backref" || (key.kind === "self" && key.id === ROOT_ID)) return NO_TOTALS;
  if (key.kind === "self") return totalsOfRecord(decodeSelf(key.id, entry).record);
  const dentry = decodeDentry(key.id, key.name, entry);
  return dentry.kind === "record" ? totalsOfRecord(dentry.record) : NO_TOTALS;
}

export function addTotals(a: Totals, b: Totals): Totals {
  return clamped(sum(a, b, 1));
}

function sum(a: Totals, b: Totals, times: 1 | -1): Totals {
  return {
    files: a.files + times * b.files,
    directories: a.directories + times * b.directories,
    bytes: a.bytes + times * b.bytes,
  };
}

function clamped({ files, directories, bytes }: Totals): Totals {
  const clamp = (total: number): number => Math.min(Math.max(0, total), MAX_TOTAL);
  return { files: clamp(files), directories: clamp(directories), bytes: clamp(bytes) };
}

function totalsOfRecord({ type, size }: FileRecord): Totals {
  if (type === "directory") return { files: 0, directories: 1, bytes: 0 };
  return { files: 1, directories: 0, bytes: type === "file" ? size : 0 };
}
