/** Sealed epochs as the database stores them, in JSON, until their outcome is known. */
import type { Cid, Lamport } from "../../base/ids.ts";
import type { SentCommit } from "../../fstree/change-set.ts";
import { parseCid } from "../../format/blocks/cid.ts";
import { damagedState } from "../known/damaged.ts";

/** What is needed to recognize a sealed epoch in the bucket. */
export interface Sealed {
  readonly epoch: number;
  /** The folder's base; absent if an earlier version wrote it. */
  readonly base?: Cid;
  readonly there: readonly SealedName[];
  readonly gone: readonly string[];
  /** Its commits that were noted before their swaps. */
  readonly sent?: readonly SentCommit[];
}

export interface SealedName {
  readonly path: readonly string[];
  readonly type: string;
  readonly seen: string;
  /** The object's id; "" for a new object. Absent in records of earlier versions. */
  readonly id?: string;
}

/** Commits of the epoch under way that were noted before their swaps. */
export interface Sent {
  readonly epoch: number;
  readonly sent: readonly SentCommit[];
}

export interface Late {
  /** The root that did not include them. */
  readonly root: Cid;
  /** Oldest first: a slow master answers in this order. */
  readonly epochs: readonly Sealed[];
}

/** Throws `state_corrupt`. */
export function parseSealed(text: string): Sealed {
  return sealedOf(parse(text));
}

/** Throws `state_corrupt`. */
export function parseLate(text: string): Late {
  const { root, epochs } = objectOf(parse(text));
  return { root: cidIn(root), epochs: listOf(epochs).map(sealedOf) };
}

/** Throws `state_corrupt`. */
export function parseSent(text: string): Sent {
  const { epoch, sent } = objectOf(parse(text));
  return { epoch: countIn(epoch), sent: sentOf(sent) };
}

function sealedOf(value: unknown): Sealed {
  const { epoch, base, there, gone, sent } = objectOf(value);
  const sealed = { epoch: countIn(epoch), there: listOf(there).map(sealedNameOf), gone: listOf(gone).map(textOf) };
  return {
    ...sealed,
    ...(base !== undefined && { base: cidIn(base) }),
    ...(sent !== undefined && { sent: sentOf(sent) }),
  };
}

function sealedNameOf(value: unknown): SealedName {
  const { path, type, seen, id } = objectOf(value);
  const name = { path: listOf(path).map(textOf), type: textOf(type), seen: textOf(seen) };
  return id === undefined ? name : { ...name, id: textOf(id) };
}

function sentOf(value: unknown): readonly SentCommit[] {
  return listOf(value).map((each) => {
    const { commit, seq } = objectOf(each);
    return { commit: cidIn(commit), seq: countIn(seq) as Lamport };
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw damagedState(cause);
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw damagedState();
  return value as Record<string, unknown>;
}

function listOf(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw damagedState();
  return value;
}

function countIn(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw damagedState();
  return value;
}

function textOf(value: unknown): string {
  if (typeof value !== "string") throw damagedState();
  return value;
}

function cidIn(value: unknown): Cid {
  try {
    return parseCid(textOf(value));
  } catch (cause) {
    throw damagedState(cause);
  }
}
