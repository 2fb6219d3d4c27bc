/** Known faults in what should be right, to see that a simulation notices them. */
import type { Cid, FileName } from "../base/ids.ts";
import { ROOT_ID } from "../base/ids.ts";
import type { MergeSnapshots } from "../bucket/publish/workspace.ts";
import { editsOf } from "../bucket/build/transition.ts";
import { lookup } from "../bucket/fs-reader.ts";
import type { TreeObject } from "../bucket/fs-reader.ts";
import { mergeSnapshots } from "../bucket/merge/merge-snapshots.ts";
import { cidOf } from "../format/cid.ts";
import type { ObjectBody, ObjectStore, PutOutcome } from "../objects/object-store.ts";
import { editTree } from "../tree/edit.ts";
import type { NodeStore } from "../tree/node-store.ts";
import { withMethods } from "./shared-folder.ts";

export const SABOTAGES = [
  "no compare-and-swap",
  "a conflict copy dropped",
  "fsync that does not sync",
  "conflict taken for unknown",
  "a resend executed twice",
  "cached blocks that are not checked",
  "a master whose disk does not sync",
] as const;

export type Sabotage = (typeof SABOTAGES)[number];

/** The store with the faults that a store can have. */
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

/** A merge that forgets the first conflict copy that it made. */
export const mergeDroppingCopies: MergeSnapshots = async (context, base, x, y) => {
  const result = await mergeSnapshots(context, base, x, y);
  const copy = result.conflicts.find(({ kind }) => kind === "copy");
  const { nodes, sink, treeConfig } = context;
  const object = copy && (await objectAt(nodes, result.tree, copy.names.other));
  if (object === undefined) return result;
  const before = { ...object, type: object.record.type };
  const link = (bytes: Uint8Array) => cidOf("dag-cbor", bytes);
  const edits = editsOf(nodes, result.tree, [{ before, after: undefined }], link);
  return { ...result, tree: await editTree(nodes, sink, treeConfig, result.tree, edits) };
};

async function objectAt(nodes: NodeStore, tree: Cid, path: readonly FileName[]): Promise<TreeObject | undefined> {
  let object: TreeObject | undefined;
  for (const name of path) object = await lookup(nodes, tree, { parent: object?.id ?? ROOT_ID, name });
  return object;
}
