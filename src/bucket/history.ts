/**
 * The linear history of commits: what is retained of it, ancestors, and descent.
 *
 * Links to parents are weak: old commits may have been thinned out. `kept` retains what is needed of history.
 */
import { unless } from "../base/unless.ts";
import { mapConcurrent } from "../base/concurrency.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid, Lamport } from "../base/ids.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { isGone } from "../blocks/not-found.ts";
import { LOST_ANCESTOR, skipSeq } from "../format/commits/commit-body.ts";
import type { Entry } from "../tree/entry.ts";
import { get, lastBefore, range } from "../tree/read.ts";
import { NodeStore } from "../tree/node-store.ts";
import { isWrongCommit, type VerifiedCommit } from "./verified-commit.ts";

/** Reads commits, as a Bucket does. With its blocks at hand, the history continues past commits that were thinned out. */
export interface Commits {
  commit(cid: Cid): Promise<VerifiedCommit>;
  /** Reads these commits ahead, in few requests. Never rejects. */
  readAhead?(cids: readonly Cid[]): Promise<void>;
  readonly blocks?: BlockReader;
}

/** The parts of a commit that tell its position in history. */
export type PlacedCommit = Pick<VerifiedCommit, "cid" | "body">;

/** As Commits, for callers that only need positions. */
export interface PlacedCommits {
  commit(cid: Cid): Promise<PlacedCommit>;
}

/** A part of history that cannot be read. */
export interface Gap {
  /** The newest seq in it. */
  readonly seq: Lamport;
  /** The lost or damaged commit at `seq`. Undefined: the list of older commits cannot be read either, so the history ends here. */
  readonly lost: Cid | undefined;
}

export function isGap(item: object): item is Gap {
  return "lost" in item;
}

/**
 * Newest first: `first`, an ancestor of `from`, and all before it that `from` retains, with a gap for each that is lost or
 * damaged. Where that list cannot be read: parents up to the first missing one. Commits that are not retained are left out,
 * even if still readable. Reads ahead: no more commits than the caller has taken so far.
 */
export async function* history(
  commits: Commits,
  from: VerifiedCommit,
  first = from,
): AsyncGenerator<VerifiedCommit | Gap> {
  const nodes = commits.blocks && new NodeStore(commits.blocks, { capacityBytes: KEPT_CACHE_BYTES });
  let at: { readonly seq: Lamport; readonly parent?: Cid | undefined } = first.body;
  yield first;
  for (let ahead = 1; at.seq > 1; ahead = Math.min(2 * ahead, READ_AHEAD)) {
    const listed = await listedBefore(nodes, from, at.seq, ahead);
    if (listed === "unknown") {
      const seq = (at.seq - 1) as Lamport;
      const commit = at.parent === undefined ? undefined : await commitIfThere(commits, at.parent);
      yield commit ?? { seq, lost: undefined };
      if (commit === undefined) return;
      at = { seq, parent: commit.body.parent };
      continue;
    }
    if (listed.length === 0) return;
    await commits.readAhead?.(listed.map(({ cid }) => cid));
    // What cannot be read now is an error once the caller gets there.
    const read = await mapConcurrent(listed, READ_AHEAD, ({ cid }) => settled(commitIfThere(commits, cid)));
    for (const [index, { seq, cid }] of listed.entries()) {
      const commit = await read[index]?.();
      yield commit ?? { seq, lost: cid };
      at = { seq, parent: commit?.body.parent };
    }
  }
}

/** The most commits that are read at once. */
const READ_AHEAD = 32;

/** Waits for the promise. Its value or error comes from the function that is returned. */
async function settled<Value>(promise: Promise<Value>): Promise<() => Promise<Value>> {
  await promise.catch(() => {});
  return () => promise;
}

/** As `history`, without the gaps. */
export async function* log(commits: Commits, from: VerifiedCommit, first = from): AsyncGenerator<VerifiedCommit> {
  for await (const item of history(commits, from, first)) if (!isGap(item)) yield item;
}

/** The newest commits before `seq` that `from` retains, at most so many. Unknown: the list cannot be read there. */
async function listedBefore(
  nodes: NodeStore | undefined,
  from: VerifiedCommit,
  seq: Lamport,
  most: number,
): Promise<{ readonly seq: Lamport; readonly cid: Cid }[] | "unknown"> {
  if (nodes === undefined) return "unknown";
  const listed: { readonly seq: Lamport; readonly cid: Cid }[] = [];
  try {
    while (listed.length < most) {
      const row = await lastBefore(nodes, from.body.kept, keptKey(listed.at(-1)?.seq ?? seq));
      if (row === undefined) break;
      listed.push(listedCommit(from, row));
    }
  } catch (error) {
    if (listed.length > 0) return listed;
    if (isGone(error)) return "unknown";
    throw error;
  }
  return listed;
}

/**
 * The address of the ancestor of `from` at `seq` (`from` itself at its own seq). Reads O(log n) commits. Throws
 * `block_not_found` when one on the way is gone, `format_invalid` when seqs are inconsistent.
 */
export async function ancestorAt(commits: PlacedCommits, from: PlacedCommit, seq: Lamport): Promise<Cid> {
  if (seq < 1 || seq > from.body.seq) throw misplaced(from, seq);
  let at = from;
  while (at.body.seq > seq) {
    const skipTo = skipSeq(at.body.seq);
    const [next, nextSeq] = skipTo >= seq ? [at.body.skip, skipTo] : [at.body.parent, at.body.seq - 1];
    if (next === undefined) throw misplaced(at, seq);
    if (next === LOST_ANCESTOR) throw lostAncestor(at, nextSeq);
    // The last step needs no reading: the address is known.
    if (nextSeq === seq) return next;
    at = await commits.commit(next);
    if (at.body.seq !== nextSeq) throw misplaced(at, nextSeq);
  }
  return at.cid;
}

/**
 * Whether `head` is `base` or descends from it; "unknown" when commits between them are gone or damaged. With `nodes`, it is enough
 * that `head` retains `base`, if its list ends with its parent, one seq below: the list is read for the next commit anyhow,
 * and this saves checking signatures along the way. One of the owner's devices that lies about all three may be believed; `verify`
 * finds the lie. If seq, parent and list are inconsistent, walks the ancestors. `tried`:
 * lost roots that are known not to lead to `base`.
 */
export async function descends(
  commits: Commits,
  head: PlacedCommit,
  base: { readonly cid: Cid; readonly seq: Lamport },
  nodes?: NodeStore,
  tried = new Set<Cid>(),
): Promise<"yes" | "no" | "unknown"> {
  try {
    if (nodes !== undefined && head.body.seq >= base.seq && (await isListed(nodes, head, base))) return "yes";
    if (head.body.seq >= base.seq && (await ancestorAt(commits, head, base.seq)) === base.cid) return "yes";
    return await isRecovered(commits, head, base, tried);
  } catch (error) {
    if (isGone(error)) return "unknown";
    throw error;
  }
}

/**
 * Whether `base` is a lost root that was merged in again, or is in the history of one. A lost root whose commit is gone is
 * ignored: if it made the answer unknown, the bucket could never again notice that it was set back.
 */
async function isRecovered(
  commits: Commits,
  { body }: PlacedCommit,
  base: { readonly cid: Cid; readonly seq: Lamport },
  tried: Set<Cid>,
): Promise<"yes" | "no" | "unknown"> {
  let answer: "no" | "unknown" = "no";
  for (const cid of (body.recovered ?? []).toReversed()) {
    if (cid === base.cid) return "yes";
    // Lists are inherited, so lost roots name many of the same.
    if (tried.has(cid)) continue;
    tried.add(cid);
    const lost = await commitIfThere(commits, cid);
    const follows = lost === undefined ? "no" : await descends(commits, lost, base, undefined, tried);
    if (follows === "yes") return "yes";
    if (follows === "unknown") answer = "unknown";
  }
  return answer;
}

/** Also false where the list cannot be read. */
async function isListed(
  nodes: NodeStore,
  { body }: PlacedCommit,
  base: { readonly cid: Cid; readonly seq: Lamport },
): Promise<boolean> {
  try {
    const last = await get(nodes, body.kept, keptKey((body.seq - 1) as Lamport));
    if (last === undefined || last.links[0] !== body.parent) return false;
    return (await get(nodes, body.kept, keptKey(base.seq)))?.links[0] === base.cid;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** The `skip` of a commit on top of `parent`. Throws as `ancestorAt`. */
export async function skipOf(commits: PlacedCommits, parent: PlacedCommit): Promise<Cid | undefined> {
  const target = skipSeq((parent.body.seq + 1) as Lamport);
  return target === 0 ? undefined : ancestorAt(commits, parent, target);
}

/**
 * As `skipOf`, also where commits on the way are lost or wrong: then by the list of retained commits, or by where a retained
 * one leads. LOST_ANCESTOR where nothing tells the address, so that publishing goes on. Throws as reading `kept` does.
 */
export async function skipAsKnown(
  commits: PlacedCommits,
  nodes: NodeStore,
  parent: PlacedCommit,
): Promise<Cid | undefined> {
  try {
    return await skipOf(commits, parent);
  } catch (error) {
    if (!isWrongCommit(error)) throw error;
  }
  const target = skipSeq((parent.body.seq + 1) as Lamport);
  let tried = 0;
  for await (const { key, links } of range(nodes, parent.body.kept, { from: keptKey(target) })) {
    const [cid] = links;
    if (cid === undefined || tried++ === ANCESTOR_TRIES) break;
    if (keptSeq(key) === target) return cid;
    try {
      return await ancestorAt(commits, await commits.commit(cid), target);
    } catch (error) {
      if (!isWrongCommit(error)) throw error;
    }
  }
  return LOST_ANCESTOR;
}

/** How many retained commits are asked for an ancestor: those soon after it know it, if any do. */
const ANCESTOR_TRIES = 32;

/** Commits that `head` retains, oldest first, without itself. */
export async function* keptCommits(nodes: NodeStore, head: VerifiedCommit): AsyncGenerator<{ seq: Lamport; cid: Cid }> {
  for await (const row of range(nodes, head.body.kept, {})) yield listedCommit(head, row);
}

function listedCommit(head: PlacedCommit, { key, links: [cid] }: Entry): { seq: Lamport; cid: Cid } {
  if (cid === undefined || key.length !== KEPT_KEY_BYTES)
    throw new SynclineError("format_invalid", `Commit ${head.cid} has a malformed list of retained commits.`);
  return { seq: keptSeq(key), cid };
}

/** Whether the bucket holds this commit and all that it reaches while `head` is its root: it is the root, or kept. */
export async function isRetained(
  nodes: NodeStore,
  head: PlacedCommit,
  { cid, seq }: { readonly cid: Cid; readonly seq: Lamport },
): Promise<boolean> {
  if (cid === head.cid) return true;
  const row = await get(nodes, head.body.kept, keptKey(seq));
  return row?.links[0] === cid;
}

/** The key of a commit among the kept ones: its seq as 8 bytes, big-endian. Its row links it and has no value. */
export function keptKey(seq: Lamport): Uint8Array {
  const key = Buffer.alloc(KEPT_KEY_BYTES);
  key.writeBigUInt64BE(BigInt(seq));
  return key;
}

const KEPT_KEY_BYTES = 8;
/** A few paths of nodes. */
const KEPT_CACHE_BYTES = 1024 * 1024;

/** Undefined if it was thinned out, or is lost or damaged. */
export async function commitIfThere(commits: Commits, cid: Cid): Promise<VerifiedCommit | undefined> {
  return unless(isGone, () => commits.commit(cid));
}

function keptSeq(key: Uint8Array): Lamport {
  return Number(Buffer.from(key.buffer, key.byteOffset, key.byteLength).readBigUInt64BE(0)) as Lamport;
}

function misplaced(commit: PlacedCommit, seq: number): SynclineError {
  return new SynclineError(
    "format_invalid",
    `Commit ${commit.cid} at seq ${commit.body.seq} does not lead to seq ${seq}.`,
  );
}

function lostAncestor({ cid }: PlacedCommit, seq: number): SynclineError {
  return new SynclineError(
    "block_not_found",
    `Commit ${cid} does not know its ancestor at seq ${seq}, which was lost.`,
  );
}
