/** The last root that the agent of a state has seen: what it starts from while the bucket is out of reach. */
import type { Lamport } from "../base/ids.ts";
import { parseCid } from "../format/cid.ts";
import type { BaseRoot } from "../overlay/journal-record.ts";

/** The file in a state that holds the last root seen. */
export const LAST_BASE = "base.json";

/** Undefined for what is no root: it is only a copy of what the bucket has. */
export function parseBase(bytes: Buffer | undefined): BaseRoot | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { commit, tree, seq } = JSON.parse(bytes.toString("utf8")) as Record<keyof BaseRoot, unknown>;
    if (typeof commit !== "string" || typeof tree !== "string" || !Number.isSafeInteger(seq)) return undefined;
    return { commit: parseCid(commit), tree: parseCid(tree), seq: seq as Lamport };
  } catch {
    return undefined;
  }
}
