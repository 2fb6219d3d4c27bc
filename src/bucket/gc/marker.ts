/**
 * Finds what must stay: every block that retained commits reach. A commit's own list of kept commits is not followed: the
 * newest root's list says what is retained. Otherwise thinning could never free anything.
 */
import { unless } from "../../base/unless.ts";
import type { Cid, Lamport } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { type Codec, codecOf, digestOf, digestText } from "../../format/blocks/cid.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { type CommitBody, LOST_ANCESTOR, skipSeq } from "../../format/commits/commit-body.ts";
import { linkedHeads } from "../../format/commits/heads.ts";
import { linksOf } from "../../format/blocks/links.ts";
import { isWrongCommit } from "../verified-commit.ts";
import type { NeededBlocks } from "./needed-blocks.ts";

/** How many blocks are read at once: nodes, mostly of 16 KiB. */
const BATCH = 64;

export class Marker {
  readonly #blocks: BlockReader;
  readonly #onProgress: (blocks: number) => void;
  /** Holds the marks made so far. */
  readonly needed: NeededBlocks;

  /** `blocks` are verified, or come from a source that cannot forge them. */
  constructor(blocks: BlockReader, needed: NeededBlocks, onProgress: (blocks: number) => void) {
    this.#blocks = blocks;
    this.needed = needed;
    this.#onProgress = onProgress;
  }

  /** Marks commits with everything that they reach. Throws `block_not_found` if anything is missing. */
  async markCommits(commits: Iterable<Cid>): Promise<void> {
    const fresh = [...commits].filter((cid) => this.#isNew(digestOf(cid), codecOf(cid)));
    for (let from = 0; from < fresh.length; from += BATCH) {
      const batch = fresh.slice(from, from + BATCH);
      const blocks = await this.#blocks.getMany(batch);
      for (const cid of batch) {
        const bytes = blocks.get(cid) ?? new Uint8Array();
        const { kept } = decodeCommit(bytes).body;
        // By its links, not its fields: a later version may have more of them.
        await this.markAll(linksOf(cid, bytes).filter((link) => link !== kept));
        this.#mark(cid);
      }
    }
  }

  /**
   * Marks the commits that `skip` leads to from here, without their trees: the next publications look for ancestors along
   * them. Returns the seq of one that is lost: what lies below it is not marked.
   */
  async markSkips(from: CommitBody): Promise<Lamport | undefined> {
    let seq = skipSeq(from.seq);
    for (let at = from.skip; at !== undefined && at !== LOST_ANCESTOR; seq = skipSeq(seq)) {
      const body = await this.markWithoutTree(at);
      if (body?.seq !== seq) return seq;
      at = body.skip;
    }
    return undefined;
  }

  /** Marks a commit and what checking it needs; undefined if any of it is gone or no commit. */
  async markWithoutTree(cid: Cid): Promise<CommitBody | undefined> {
    return unless(isWrongCommit, async () => {
      const { body, certificate } = decodeCommit(await this.#blocks.get(cid));
      await this.#blocks.get(certificate);
      await this.markAll(linkedHeads(body.heads));
      this.markAlone([certificate]);
      this.#skipped.add(digestText(digestOf(cid)));
      return body;
    });
  }

  /** Commits that must stay without what they reach. */
  get skipped(): ReadonlySet<string> {
    return this.#skipped;
  }
  readonly #skipped = new Set<string>();

  /** Marks blocks and everything below them. */
  async markAll(roots: readonly Cid[]): Promise<void> {
    const stack = [...roots];
    while (stack.length > 0) {
      const batch: Cid[] = [];
      for (let cid = stack.pop(); cid !== undefined; cid = batch.length < BATCH ? stack.pop() : undefined) {
        if (!this.#markNew(cid)) continue;
        if (codecOf(cid) === "dag-cbor") batch.push(cid);
      }
      const blocks = await this.#blocks.getMany(batch);
      for (const cid of batch) stack.push(...linksOf(cid, blocks.get(cid) ?? new Uint8Array()));
      this.#onProgress(this.needed.marked);
    }
  }

  /** Marks blocks without following their links. */
  markAlone(cids: Iterable<Cid>): void {
    for (const cid of cids) this.#mark(cid);
  }

  #isNew(digest: Uint8Array, kind: Codec): boolean {
    const known = this.needed.markedAs(digest);
    // Bytes may be a chunk and, in another place, a node: what they link to as a node has to stay, too.
    return known !== "dag-cbor" && known !== kind;
  }

  /** Marks a block; false if that is done already. */
  #markNew(cid: Cid): boolean {
    const [digest, kind] = [digestOf(cid), codecOf(cid)];
    const isNew = this.#isNew(digest, kind);
    if (isNew) this.needed.mark(digest, kind);
    return isNew;
  }

  #mark(cid: Cid): void {
    this.needed.mark(digestOf(cid), codecOf(cid));
  }
}
