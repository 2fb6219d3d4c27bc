/** The JSON form of a bucket's root, as states store it. */
import type { Lamport } from "../base/ids.ts";
import { orElse } from "../base/unless.ts";
import { parseCid } from "../format/blocks/cid.ts";
import type { BaseRoot } from "./journal/journal-record.ts";

/** Undefined if the text is not a root. */
export function parseBaseRoot(text: string): BaseRoot | undefined {
  return orElse(undefined, () => {
    const { commit, tree, seq } = JSON.parse(text) as Record<keyof BaseRoot, unknown>;
    if (typeof commit !== "string" || typeof tree !== "string" || !Number.isSafeInteger(seq)) return undefined;
    return { commit: parseCid(commit), tree: parseCid(tree), seq: seq as Lamport };
  });
}
