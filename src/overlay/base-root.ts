/** A root of a bucket as states keep it: in JSON. */
import type { Lamport } from "../base/ids.ts";
import { parseCid } from "../format/blocks/cid.ts";
import type { BaseRoot } from "./journal/journal-record.ts";

/** Undefined for what is no root. */
export function parseBaseRoot(text: string): BaseRoot | undefined {
  try {
    const { commit, tree, seq } = JSON.parse(text) as Record<keyof BaseRoot, unknown>;
    if (typeof commit !== "string" || typeof tree !== "string" || !Number.isSafeInteger(seq)) return undefined;
    return { commit: parseCid(commit), tree: parseCid(tree), seq: seq as Lamport };
  } catch {
    return undefined;
  }
}
