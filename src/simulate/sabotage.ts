/** Known faults to inject into correct code, to check that a simulation detects them. */
import { type Cid, type FileName, type Lamport, ROOT_ID } from "../base/ids.ts";
import type { MergeSnapshots } from "../bucket/publish/workspace.ts";
import { editsOf, type Transition } from "../fstree/rebase/transition.ts";
import { lookup, type TreeObject } from "../fstree/fs-reader.ts";
import { type MergeContext, wins } from "../fstree/merge/context.ts";
import { type MergeResult, mergeSnapshots } from "../fstree/merge/merge-snapshots.ts";
import { cidOf } from "../format/blocks/cid.ts";
import type { ObjectBody, ObjectStore, PutOutcome } from "../objects/object-store.ts";
import { editTree } from "../tree/edit.ts";
import type { NodeStore } from "../tree/node-store.ts";
import { isDocument } from "./documents.ts";
import { withMethods } from "./shared-folder.ts";
import { sameVersion, type Survey, surveyOf } from "./judges/tree-survey.ts";

export const SABOTAGES = [
  "no compare-and-swap",
  "a conflict copy dropped",
  "a merge that never deletes",
  "a merge that drops the loser's chmod",
  "a merge in which a removal wins over a move",
  "databases and repositories merged file by file",
  "a merge that drops one side's entries of JSON",
  "names in other cases taken for one",
  "fsync that does not sync",
  "conflict taken for unknown",
  "a resend executed twice",
  "cached blocks that are not checked",
  "a master whose disk does not sync",
  "a merge that the later clock wins",
  "policy set that forgets what others set",
  "a put that drops conflict copies",
  "a restore of more than was asked for",
  "a collector that ignores leases",
  "a collector that believes every clock",
  "a folder whose scan overlooks files",
  "doors that hear nothing of each other",
  "a WebDAV door that forgets conditions",
  "an agent that gets no new device when another epoch has its number",
] as const;

/** One that only several masters can have; short histories that show it are rare. */
const CREDULOUS = "masters that take a swap without an answer for done";

export type Sabotage = (typeof SABOTAGES)[number] | typeof CREDULOUS;

/** The store with those of the faults that concern stores. */
export function sabotaged(store: ObjectStore, sabotage: Sabotage | undefined): ObjectStore {
  const put = putsOf(store, sabotage);
  return put === undefined ? store : withMethods(store, { putIfMatch: put });
}

function putsOf(store: ObjectStore, sabotage: Sabotage | undefined): ObjectStore["putIfMatch"] | undefined {
  const force = async (name: string, body: ObjectBody, token: string): Promise<PutOutcome> => {
    const now = await store.get(name);
    return store.putIfMatch(name, body, now?.token ?? token);
  };
  const done = new Set<string>();
  switch (sabotage) {
    case "no compare-and-swap":
      return force;
    case "conflict taken for unknown":
      return async (...put) => {
        const outcome = await store.putIfMatch(...put);
        return outcome.kind === "refused" ? { kind: "unknown", cause: undefined } : outcome;
      };
    case "a resend executed twice":
      return async (name, body, token) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of body) chunks.push(chunk);
        const text = Buffer.concat(chunks).toString("latin1");
        const again = done.has(text);
        done.add(text);
        return again ? force(name, chunks, token) : store.putIfMatch(name, chunks, token);
      };
    default:
      return undefined;
  }
}

/** Undefined: no sabotage of merges. */
export function sabotagedMerge(sabotage: Sabotage | undefined): MergeSnapshots | undefined {
  switch (sabotage) {
    case "a conflict copy dropped":
      return mergeDroppingCopies;
    case "a merge that never deletes":
      return mergeNeverDeleting;
    case "a merge that drops the loser's chmod":
      return mergeDroppingModes;
    case "databases and repositories merged file by file":
      return mergeTearingUnits;
    case "a merge that drops one side's entries of JSON":
      return mergeDroppingEntries;
    case "names in other cases taken for one":
      return mergeFoldingNames;
    case "a merge that the later clock wins":
      return mergeByClock;
    case "a merge in which a removal wins over a move":
      return mergeRemovingMoved;
    default:
      return undefined;
  }
}

/** Drops the first conflict copy that the merge made. */
const mergeDroppingCopies: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const copy = result.conflicts.find(({ kind }) => kind === "copy");
  const object = copy && (await objectAt(context.nodes, result.tree, copy.names.other));
  if (object === undefined) return result;
  return changed(context, result, [{ before: { ...object, type: object.record.type }, after: undefined }]);
};

/** Restores deleted files whose directory still exists and whose name is free. */
const mergeNeverDeleting: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const [bases, merged] = [await surveyOf(context.nodes, base), await surveyOf(context.nodes, result.tree)];
  const taken = new Set([...merged.values()].flatMap(({ places }) => places));
  const transitions: Transition[] = [];
  for (const { id, record, names, places } of bases.values()) {
    const parent = names[0]?.parent ?? ROOT_ID;
    const hasPlace = parent === ROOT_ID || merged.get(parent)?.record.type === "directory";
    if (merged.has(id) || record.type === "directory" || names.length > 1 || !hasPlace) continue;
    if (places.some((place) => taken.has(place))) continue;
    transitions.push({ before: undefined, after: { id, type: record.type, names, record } });
  }
  return changed(context, result, transitions);
};

const mergeRemovingMoved: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const { nodes } = context;
  const sides = [await surveyOf(nodes, x.tree), await surveyOf(nodes, y.tree)];
  const [bases, merged] = [await surveyOf(nodes, base), await surveyOf(nodes, result.tree)];
  const transitions: Transition[] = [];
  for (const { id, record, names } of merged.values()) {
    const isRemoved = bases.has(id) && sides.some((side) => !side.has(id));
    if (!isRemoved || record.type === "directory" || names.length > 1) continue;
    const isMoved = bases.get(id)?.places.join() !== merged.get(id)?.places.join();
    if (isMoved) transitions.push({ before: { id, type: record.type, names, record }, after: undefined });
  }
  return changed(context, result, transitions);
};

const mergeTearingUnits: MergeSnapshots = (context, base, x, y) => {
  return mergeSnapshots({ ...context, policy: { ...context.policy, units: { trees: [], families: [] } } }, base, x, y);
};

/** Lets the side with the latest file time win. */
const mergeByClock: MergeSnapshots = async (context, base, x, y) => {
  const [xs, ys] = [await surveyOf(context.nodes, x.tree), await surveyOf(context.nodes, y.tree)];
  const isX = latest(xs) > latest(ys);
  const lamport = (Math.max(x.lamport, y.lamport) + 1) as Lamport;
  return mergeSnapshots(context, base, isX ? { ...x, lamport } : x, isX ? y : { ...y, lamport });
};

function latest(survey: Survey): bigint {
  return [...survey.values()].reduce((most, { record }) => (record.mtimeNs > most ? record.mtimeNs : most), 0n);
}

/** Drops an entry where both sides of a JSON file were merged. */
const mergeDroppingEntries: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const winners = await surveyOf(context.nodes, (wins(x, y) ? x : y).tree);
  const losers = await surveyOf(context.nodes, (wins(x, y) ? y : x).tree);
  const transitions: Transition[] = [];
  for (const { id, record, names } of (await surveyOf(context.nodes, result.tree)).values()) {
    const [won, lost] = [winners.get(id)?.record, losers.get(id)?.record];
    if (won === undefined || lost === undefined || !names.some(({ name }) => isDocument(name))) continue;
    if (sameVersion(record, won) || sameVersion(record, lost)) continue;
    const before = { id, type: record.type, names, record };
    transitions.push({ before, after: { ...before, record: { ...record, content: won.content, size: won.size } } });
  }
  return changed(context, result, transitions);
};

/** Drops one of two new files in a directory whose names differ in case only. */
const mergeFoldingNames: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const bases = await surveyOf(context.nodes, base);
  const taken = new Set<string>();
  const transitions: Transition[] = [];
  for (const { id, record, names, places } of (await surveyOf(context.nodes, result.tree)).values()) {
    const folded = places.join().toLowerCase().normalize("NFC");
    if (taken.has(folded) && record.type !== "directory" && names.length === 1 && !bases.has(id))
      transitions.push({ before: { id, type: record.type, names, record }, after: undefined });
    taken.add(folded);
  }
  return changed(context, result, transitions);
};

const mergeDroppingModes: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const { nodes } = context;
  const [winner, loser] = wins(x, y) ? [x, y] : [y, x];
  const [bases, winners] = [await surveyOf(nodes, base), await surveyOf(nodes, winner.tree)];
  const [losers, merged] = [await surveyOf(nodes, loser.tree), await surveyOf(nodes, result.tree)];
  const transitions: Transition[] = [];
  for (const { id, record, names } of merged.values()) {
    const mode = bases.get(id)?.record.mode;
    const isLosers = winners.get(id)?.record.mode === mode && losers.get(id)?.record.mode !== mode;
    if (mode === undefined || !isLosers || record.type === "directory") continue;
    const before = { id, type: record.type, names, record };
    transitions.push({ before, after: { ...before, record: { ...record, mode } } });
  }
  return changed(context, result, transitions);
};

async function changed(
  { nodes, sink, treeConfig }: MergeContext,
  result: MergeResult,
  transitions: readonly Transition[],
): Promise<MergeResult> {
  if (transitions.length === 0) return result;
  const link = (bytes: Uint8Array) => cidOf("dag-cbor", bytes);
  const edits = editsOf(nodes, result.tree, transitions, link);
  return { ...result, tree: await editTree(nodes, sink, treeConfig, result.tree, edits) };
}

async function objectAt(nodes: NodeStore, tree: Cid, path: readonly FileName[]): Promise<TreeObject | undefined> {
  let object: TreeObject | undefined;
  for (const name of path) object = await lookup(nodes, tree, { parent: object?.id ?? ROOT_ID, name });
  return object;
}
