/**
 * Deletions that a person approved on the machine that made them (format.md, Commit): a synced folder elsewhere need not ask again.
 *
 * Each commit names the newest approved one up to it, so they are found without a walk through all of history. What was thinned out approves
 * nothing.
 */
import { hasCode } from "../base/errors.ts";
import type { Cid, FileId, Lamport } from "../base/ids.ts";
import { get } from "../tree/read.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { Bucket } from "./bucket.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { readObject } from "./fs-reader.ts";
import { keptKey } from "./history.ts";
import type { Place } from "./object-rows.ts";

export interface DeletedName extends Place {
  readonly id: FileId;
}

/** Which of these objects an approved commit deleted: one of those up to `head` that come after the seq `after`. */
export async function approvedDeletions(
  bucket: Bucket,
  nodes: NodeStore,
  head: VerifiedCommit,
  after: Lamport,
  deleted: readonly DeletedName[],
): Promise<ReadonlySet<FileId>> {
  const approved = new Set<FileId>();
  for (let at = head; at.body.approved !== undefined && at.body.approved > after;) {
    const before = await ifThere(async () => {
      const commit = await approvedBy(bucket, nodes, head, at);
      return commit?.body.parent === undefined
        ? undefined
        : { commit, parent: await bucket.commit(commit.body.parent) };
    });
    if (before === undefined) break;
    const { commit, parent } = before;
    const rest = deleted.filter(({ id }) => !approved.has(id));
    const gone = await ifThere(() => goneBetween(nodes, parent.body.tree, commit.body.tree, rest));
    for (const id of gone ?? []) approved.add(id);
    at = parent;
  }
  return approved;
}

/** The commit that `at` names, if the bucket retains it and it says so itself. */
async function approvedBy(
  bucket: Bucket,
  nodes: NodeStore,
  head: VerifiedCommit,
  { body, ...at }: VerifiedCommit,
): Promise<VerifiedCommit | undefined> {
  const { approved, seq } = body;
  if (approved === undefined) return undefined;
  if (approved === seq) return { body, ...at };
  const cid = (await get(nodes, head.body.kept, keptKey(approved)))?.links[0];
  const commit = cid === undefined ? undefined : await bucket.commit(cid);
  return commit?.body.seq === approved && commit.body.approved === approved ? commit : undefined;
}

async function goneBetween(
  nodes: NodeStore,
  before: Cid,
  after: Cid,
  names: readonly DeletedName[],
): Promise<FileId[]> {
  const gone: FileId[] = [];
  for (const { id, parent, name } of names) {
    const was = await readObject(nodes, before, id, { parent, name });
    if (was !== undefined && (await readObject(nodes, after, id, was.names[0])) === undefined) gone.push(id);
  }
  return gone;
}

async function ifThere<Value>(read: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await read();
  } catch (error) {
    if (hasCode(error, "block_not_found")) return undefined;
    throw error;
  }
}
