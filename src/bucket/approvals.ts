/**
 * Deletions that a person approved on the machine that made them (docs/reference/formats.md, Commit): a synced folder
 * elsewhere need not ask again.
 *
 * Each commit names the newest approved one up to it, so they are found without walking all of history. Thinned-out commits
 * approve nothing. An approval covers one deletion: deleting an object again that came back, as by `restore`, needs
 * another.
 */
import { unless } from "../base/unless.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid, FileId, Lamport } from "../base/ids.ts";
import { parseKey } from "../format/files/keys.ts";
import { decodeDentry, dentryId } from "../format/files/rows.ts";
import { diff } from "../tree/diff.ts";
import { get } from "../tree/read.ts";
import type { NodeStore } from "../tree/node-store.ts";
import type { Bucket } from "./bucket.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import { readObject } from "../fstree/fs-reader.ts";
import { type Gap, history, isGap, keptKey } from "./history.ts";
import { isGone } from "../blocks/not-found.ts";
import type { Place } from "../fstree/object-rows.ts";

export interface DeletedName extends Place {
  readonly id: FileId;
}

/**
 * Which of these objects an approved commit deleted for good. Looks at approved commits up to `head` with a seq above
 * `after`. Leaves out objects that a root retained since then has.
 */
export async function approvedDeletions(
  bucket: Bucket,
  nodes: NodeStore,
  head: VerifiedCommit,
  after: Lamport,
  deleted: readonly DeletedName[],
): Promise<ReadonlySet<FileId>> {
  const approved = new Set<FileId>();
  const since = new SeenSince(bucket, nodes, head, new Set(deleted.map(({ id }) => id)));
  for (let at = head; at.body.approved !== undefined && at.body.approved > after;) {
    const before = await unless(isGone, async () => {
      const commit = await approvedBy(bucket, nodes, head, at);
      return commit?.body.parent === undefined
        ? undefined
        : { commit, parent: await bucket.commit(commit.body.parent) };
    });
    if (before === undefined) break;
    const { commit, parent } = before;
    const cameBack = await unless(isGone, () => since.upTo(commit));
    if (cameBack === undefined) break;
    const rest = deleted.filter(({ id }) => !approved.has(id) && !cameBack.has(id));
    const gone = await unless(isGone, () => goneBetween(nodes, parent.body.tree, commit.body.tree, rest));
    for (const id of gone ?? []) approved.add(id);
    at = parent;
  }
  return approved;
}

/** Which objects appeared after a commit, seen from the newest root back: compares each pair of neighbors once. */
class SeenSince {
  readonly #nodes: NodeStore;
  readonly #wanted: ReadonlySet<FileId>;
  readonly #back: AsyncGenerator<VerifiedCommit | Gap>;
  readonly #cameBack = new Set<FileId>();
  #later: VerifiedCommit;

  constructor(bucket: Bucket, nodes: NodeStore, head: VerifiedCommit, wanted: ReadonlySet<FileId>) {
    this.#nodes = nodes;
    this.#wanted = wanted;
    this.#back = history(bucket, head);
    this.#later = head;
  }

  /** Throws `block_not_found` if a root between is lost: an object may have come back in it. */
  async upTo({ body }: VerifiedCommit): Promise<ReadonlySet<FileId>> {
    while (this.#later.body.seq > body.seq) {
      const { value: earlier, done } = await this.#back.next();
      if (done === true || isGap(earlier))
        throw new SynclineError("block_not_found", "The history does not reach back that far.");
      await this.#compare(earlier.body.tree, this.#later.body.tree);
      this.#later = earlier;
    }
    return this.#cameBack;
  }

  async #compare(before: Cid, after: Cid): Promise<void> {
    for await (const { key, after: entry } of diff(this.#nodes, before, after)) {
      const place = parseKey(key);
      if (entry === undefined || place.kind !== "dentry") continue;
      const id = dentryId(place.id, place.name, decodeDentry(place.id, place.name, entry));
      if (this.#wanted.has(id)) this.#cameBack.add(id);
    }
  }
}

/** The commit that `at` names, if the bucket retains it and its body says that it is approved. */
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
