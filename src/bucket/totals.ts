/** A tree's totals, updated from what changed (docs/reference/formats.md, Commit: totals). */
import type { Totals } from "../format/commits/commit-body.ts";
import type { Cid } from "../base/ids.ts";
import { ROOT_ID } from "../base/ids.ts";
import { parseKey } from "../format/files/keys.ts";
import type { FileRecord } from "../format/files/record.ts";
import { decodeDentry, decodeSelf } from "../format/files/rows.ts";
import { diff } from "../tree/diff.ts";
import type { Entry } from "../tree/entry.ts";
import type { NodeStore } from "../tree/node-store.ts";

export const NO_TOTALS: Totals = { files: 0, directories: 0, bytes: 0 };

/** The totals of tree `to`, given those of tree `from`: reads only the difference. */
export async function totalsAfter(nodes: NodeStore, from: Cid, totals: Totals, to: Cid): Promise<Totals> {
  let result = totals;
  for await (const { before, after } of diff(nodes, from, to)) {
    if (before !== undefined) result = addTotals(result, totalsOfRow(before), -1);
    if (after !== undefined) result = addTotals(result, totalsOfRow(after), 1);
  }
  return result;
}

/** One row's contribution: each object has exactly one row that holds its record. */
export function totalsOfRow(entry: Entry): Totals {
  const key = parseKey(entry.key);
  if (key.kind === "backref" || (key.kind === "self" && key.id === ROOT_ID)) return NO_TOTALS;
  if (key.kind === "self") return totalsOfRecord(decodeSelf(key.id, entry).record);
  const dentry = decodeDentry(key.id, key.name, entry);
  return dentry.kind === "record" ? totalsOfRecord(dentry.record) : NO_TOTALS;
}

export function addTotals(a: Totals, b: Totals, times: 1 | -1): Totals {
  return {
    files: a.files + times * b.files,
    directories: a.directories + times * b.directories,
    bytes: a.bytes + times * b.bytes,
  };
}

function totalsOfRecord({ type, size }: FileRecord): Totals {
  if (type === "directory") return { files: 0, directories: 1, bytes: 0 };
  return { files: 1, directories: 0, bytes: type === "file" ? size : 0 };
}
