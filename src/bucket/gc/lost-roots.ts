/**
 * Whether a collection would delete what followed a lost root: the bucket was set back, to a backup for instance, and the
 * newer commits are still in the store. This machine may have seen none of them.
 *
 * Commit objects that no root maps also stay behind from swaps that others won: their parents are in the root's history. A
 * parent that is not there was a root once. If one root only was lost, its commit looks like one whose swap was never sent.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import { hasCode, SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Lamport, PackName } from "../../base/ids.ts";
import { COMMIT_TAIL_BYTES, STORE_CONCURRENCY } from "../../base/limits.ts";
import { unless } from "../../base/unless.ts";
import { cidFromDigest, matchesCid } from "../../format/blocks/cid.ts";
import { COMMIT_FOLDER, packReference } from "../../format/blocks/object-name.ts";
import { type Commit, decodeCommit } from "../../format/commits/commit.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { readFooter } from "../../packs/pack-footer.ts";
import { NodeStore } from "../../tree/node-store.ts";
import type { Bucket } from "../bucket.ts";
import { descends, type PlacedCommit } from "../history.ts";
import { GUIDE } from "../root-witness.ts";
import { isWrongCommit } from "../verified-commit.ts";

export class LostRoots {
  readonly #store: Pick<ObjectStore, "getTail" | "getRanges">;
  readonly #bucket: Bucket;
  readonly #nodes: NodeStore;
  /** Checked commit objects that followed a root of the history. They stay harmless: the history only grows. */
  readonly #harmless = new Set<PackName>();

  constructor(store: Pick<ObjectStore, "getTail" | "getRanges">, bucket: Bucket) {
    this.#store = store;
    this.#bucket = bucket;
    this.#nodes = new NodeStore(bucket.blocks, { capacityBytes: HISTORY_CACHE_BYTES });
  }

  /**
   * Throws `root_rolled_back` if one of these objects is a commit that followed a lost root: it may stay for now, but much of
   * what it needs would go. Throws `feature_unknown` for a commit that only a newer version can read.
   */
  async refuse(head: PlacedCommit, unmapped: readonly PackName[]): Promise<void> {
    const unknown = unmapped.filter((name) => name.startsWith(COMMIT_FOLDER) && !this.#harmless.has(name));
    await mapConcurrent(unknown, STORE_CONCURRENCY, async (name) => {
      const commit = await this.#commitIn(name);
      if (commit !== undefined && (await this.#followsLost(head, commit))) throw setBack(commit);
      this.#harmless.add(name);
    });
  }

  /** The commit of a commit object. Undefined: it is damaged, or another bucket's. A signature would protect nothing here. */
  async #commitIn(name: PackName): Promise<Commit | undefined> {
    const cid = cidFromDigest("dag-cbor", packReference(name).subarray(1));
    const bytes = await unlessDamaged(async () => {
      const { footer } = await readFooter((length) => this.#store.getTail(name, length), COMMIT_TAIL_BYTES);
      const row = footer.find(packReference(name).subarray(1));
      return row && (await this.#store.getRanges(name, [row]))[0];
    });
    if (bytes === undefined || !matchesCid(cid, bytes)) return undefined;
    const isNone = (error: unknown) => isWrongCommit(error) && !hasCode(error, "feature_unknown");
    const commit = await unless(isNone, async () => decodeCommit(bytes));
    return commit?.body.genesis === this.#bucket.genesis.cid ? commit : undefined;
  }

  async #followsLost(head: PlacedCommit, { body: { parent, seq } }: Commit): Promise<boolean> {
    if (parent === undefined) return false;
    const before = { cid: parent, seq: (seq - 1) as Lamport };
    // A damaged history cannot tell.
    return (await unless(isWrongCommit, () => descends(this.#bucket, head, before, this.#nodes))) === "no";
  }
}

/** A few paths of nodes of the list of retained commits. */
const HISTORY_CACHE_BYTES = 1024 * 1024;

function setBack({ cid, body }: Commit): SynclineError {
  return new SynclineError(
    "root_rolled_back",
    `The bucket was set back: its root does not lead to what commit ${cid} (seq ${body.seq}) was made on. Nothing was collected.`,
    {
      hint: `If the newer root exists, put it back: ${GUIDE} To delete what followed it, run \`syncline gc\` with --accept.`,
    },
  );
}
