/**
 * The `root` object, the one thing in a bucket that is replaced: three lines of text, each ended by a newline.
 *
 * ```
 * syncline root 1
 * <CID of the newest commit>
 * <number of swaps so far, from 1, in decimal>
 * ```
 * A value has one encoding, so that equal roots are equal bytes.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_ROOT_BYTES } from "../../base/limits.ts";
import { codecOf, parseCid } from "./cid.ts";
import { MAX_BASES_BYTES } from "./object-name.ts";

export interface RootPointer {
  readonly commit: Cid;
  readonly version: number;
}

export function encodeRoot({ commit, version }: RootPointer): Uint8Array {
  return Buffer.from(`${HEAD}\n${commit}\n${version}\n`, "latin1");
}

/** Throws `format_invalid`. */
export function decodeRoot(bytes: Uint8Array): RootPointer {
  const lines = bytes.length > MAX_ROOT_BYTES ? [] : Buffer.from(bytes).toString("latin1").split("\n");
  const [head, cid, count, end, ...rest] = lines;
  const spelt = count !== undefined && /^[1-9][0-9]{0,15}$/.test(count) && Number.isSafeInteger(Number(count));
  if (head !== HEAD || cid === undefined || !spelt || end !== "" || rest.length > 0) {
    throw new SynclineError("format_invalid", "The root object has an unknown format.");
  }
  const commit = parseCid(cid);
  if (codecOf(commit) !== "dag-cbor")
    throw new SynclineError("format_invalid", "The root object does not point to a commit.");
  return { commit, version: Number(count) };
}

/** `bases/<writer>`: at least one root, each as in `root`. */
export function encodeBases(bases: readonly RootPointer[]): Uint8Array {
  return Buffer.concat(bases.map(encodeRoot));
}

/** Throws `format_invalid`. */
export function decodeBases(bytes: Uint8Array): RootPointer[] {
  const lines =
    bytes.length > MAX_BASES_BYTES
      ? []
      : Buffer.from(bytes)
          .toString("latin1")
          .split(/(?<=\n)/);
  const roots: string[] = [];
  for (let at = 0; at === 0 || at < lines.length; at += ROOT_LINES)
    roots.push(lines.slice(at, at + ROOT_LINES).join(""));
  return roots.map((text) => decodeRoot(Buffer.from(text, "latin1")));
}

const HEAD = "syncline root 1";
const ROOT_LINES = 3;
