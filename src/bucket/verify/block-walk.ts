/**
 * Walks everything that commits reach, hashing each block once, however many roots share it. Remembers damaged blocks with
 * all blocks above them ("tainted"), so that a second walk is not needed to find the affected paths.
 */
import { DigestTable } from "../../base/digest-table.ts";
import type { Cid } from "../../base/ids.ts";
import { WordMemory } from "../../base/word-memory.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { codecOf, digestOf, matchesCid } from "../../format/blocks/cid.ts";
import { LOST_ANCESTOR } from "../../format/commits/commit-body.ts";
import { type Commit, decodeCommit } from "../../format/commits/commit.ts";
import { linkedHeads } from "../../format/commits/heads.ts";
import { linksOf } from "../../format/blocks/links.ts";
import { decodeNode } from "../../format/tree/node-decoder.ts";
import { readableBlocks } from "../readable-blocks.ts";
import { isWrongCommit } from "../verified-commit.ts";
import type { OnProgress } from "./report.ts";

/** What a block is, according to its referrer. */
export type Role = "root" | "commit" | "skip" | "tree" | "kept" | "other";

interface Pending {
  readonly cid: Cid;
  readonly role: Role;
}

interface Keyed extends Pending {
  /** From WalkedBlocks. */
  readonly key: number;
}

/** Checks a commit beyond its shape: its signature. Throws a SynclineError that says what is wrong. */
export type CheckCommit = (commit: Commit) => Promise<unknown>;

export class BlockWalk {
  readonly #blocks: BlockReader;
  readonly #checkCommit: CheckCommit;
  readonly #onProgress: OnProgress;
  readonly #walked: WalkedBlocks;
  readonly #damaged = new Map<Cid, string>();
  /** Where sound commits skip to. */
  readonly #skips = new Map<Cid, Cid>();
  #seen = 0;
  #bytes = 0;
  #commits = 0;

  /** `blocks` reads the bucket itself: no cache, and unverified. */
  constructor(blocks: BlockReader, checkCommit: CheckCommit, onProgress: OnProgress, memory = new WordMemory()) {
    this.#blocks = blocks;
    this.#walked = new WalkedBlocks(memory);
    this.#checkCommit = checkCommit;
    this.#onProgress = onProgress;
  }

  /** Missing or wrong blocks, each with a description. */
  get damaged(): ReadonlyMap<Cid, string> {
    return this.#damaged;
  }

  get progress() {
    return { blocks: this.#seen, bytes: this.#bytes, roots: this.#commits };
  }

  /** How many bytes the block has; 0 if it is missing. Undefined: it was not visited. */
  lengthOf(cid: Cid): number | undefined {
    const key = this.#walked.find(cid);
    return key === undefined || !this.#walked.has(key, SEEN) ? undefined : this.#walked.lengthOf(key);
  }

  /** Whether something is wrong with the block or below it. */
  isTainted(cid: Cid): boolean {
    const key = this.#walked.find(cid);
    return key !== undefined && this.#walked.has(key, TAINTED);
  }

  /**
   * Walks the newest commit and all that it links. Then walks the commits that `skip` leads to, without their trees: later
   * publications find ancestors through them.
   */
  async walkRoot(cid: Cid): Promise<void> {
    await this.#visitAll([{ cid, role: "root" }]);
    for (let at = this.#skips.get(cid); at !== undefined; at = this.#skips.get(at))
      await this.#visitAll([{ cid: at, role: "skip" }]);
  }

  /** True if any of them is tainted. Reads siblings in batches, finishing each batch before the next. */
  async #visitAll(links: readonly Pending[]): Promise<boolean> {
    const keyed = links.map(({ cid, role }): Keyed => ({ cid, role, key: this.#walked.add(cid) }));
    const fresh = keyed.filter(({ key }) => !this.#walked.has(key, SEEN));
    for (let from = 0; from < fresh.length; from += BATCH) {
      const batch = fresh.slice(from, from + BATCH).filter(({ key }) => !this.#walked.has(key, SEEN));
      const found = await readableBlocks(
        this.#blocks,
        batch.map(({ cid }) => cid),
      );
      for (const block of batch) {
        if (!this.#walked.has(block.key, SEEN)) await this.#visit(block, found.get(block.cid));
      }
      this.#onProgress(this.progress);
    }
    return keyed.some(({ key }) => this.#walked.has(key, TAINTED));
  }

  async #visit({ cid, role, key }: Keyed, bytes: Uint8Array | undefined): Promise<void> {
    const length = bytes?.length ?? 0;
    this.#seen++;
    this.#walked.note(key, SEEN);
    this.#walked.noteLength(key, length);
    this.#bytes += length;
    if (role === "commit" || role === "root") this.#commits++;
    const links = bytes === undefined ? "is missing or cannot be read" : await this.#open(cid, role, bytes);
    const unneeded = role === "skip" ? ". Only old history needs it" : "";
    if (typeof links === "string") this.#damaged.set(cid, links + unneeded);
    if (typeof links === "string" || (await this.#visitAll(links))) this.#walked.note(key, TAINTED);
  }

  /** What the block links to, or what is wrong with it. */
  async #open(cid: Cid, role: Role, bytes: Uint8Array): Promise<readonly Pending[] | string> {
    if (!matchesCid(cid, bytes)) return "does not match its hash";
    try {
      if (role !== "commit" && role !== "root" && role !== "skip") return linksWithRoles(cid, role, bytes);
      const commit = decodeCommit(bytes);
      // The check reads these, too. First, so that a lost one is named.
      await this.#visitAll(checkedWith(commit));
      await this.#checkCommit(commit);
      const { skip } = commit.body;
      if (skip !== undefined && skip !== LOST_ANCESTOR) this.#skips.set(cid, skip);
      return role === "skip" ? [] : commitLinks(commit, role === "root");
    } catch (error) {
      if (isWrongCommit(error)) return `is malformed: ${error.message}`;
      throw error;
    }
  }
}

/** What the walk knows of blocks, outside the JavaScript heap: 41 to 47 bytes each. */
class WalkedBlocks {
  readonly #table: DigestTable;

  constructor(memory: WordMemory) {
    this.#table = new DigestTable(memory, 1);
  }

  /** The block's key: the number of its digest, and its kind. Throws `limit_exceeded`. */
  add(cid: Cid): number {
    return keyOf(this.#table.add(digestOf(cid)), cid);
  }

  find(cid: Cid): number | undefined {
    const number = this.#table.find(digestOf(cid));
    return number < 0 ? undefined : keyOf(number, cid);
  }

  has(key: number, fact: number): boolean {
    return (this.#table.get(key >>> 1, 0) & flagOf(key, fact)) !== 0;
  }

  note(key: number, fact: number): void {
    this.#table.set(key >>> 1, 0, this.#table.get(key >>> 1, 0) | flagOf(key, fact));
  }

  lengthOf(key: number): number {
    return this.#table.get(key >>> 1, 0) >>> FLAG_BITS;
  }

  noteLength(key: number, length: number): void {
    this.#table.set(key >>> 1, 0, this.#table.get(key >>> 1, 0) | (length << FLAG_BITS));
  }
}

/** The rest of a record's word holds the length: blocks have a few MiB at most. */
const FLAG_BITS = 4;

const SEEN = 1;
const TAINTED = 2;

/** The same bytes may be a node in one place and a chunk in another: those are two blocks. */
function keyOf(number: number, cid: Cid): number {
  return number * 2 + (codecOf(cid) === "raw" ? 1 : 0);
}

function flagOf(key: number, fact: number): number {
  return (key & 1) === 0 ? fact : fact << 2;
}

/** How many siblings are read at once: nodes of one level, or chunks of one list, at most 1 MiB each. */
const BATCH = 32;

function linksWithRoles(cid: Cid, role: Exclude<Role, "commit" | "root" | "skip">, bytes: Uint8Array): Pending[] {
  if (role === "other") return linksOf(cid, bytes).map((link) => ({ cid: link, role }));
  const node = decodeNode(bytes);
  const below: Role = node.level > 0 ? role : role === "kept" ? "commit" : "other";
  const links = Array.from({ length: node.count }, (_, index) =>
    node.level > 0 ? [node.childAt(index)] : node.linksAt(index),
  );
  return links.flat().map((link) => ({ cid: link, role: below }));
}

/**
 * Kept commits come first, the oldest first, so that the walk follows history without deep recursion. Only the root's list
 * counts: commits that older lists kept may be thinned out by now.
 */
function commitLinks(commit: Commit, isRoot: boolean): Pending[] {
  const { body } = commit;
  const others = [body.genesis, body.policy, ...(body.acl === undefined ? [] : [body.acl])];
  return [
    ...(isRoot ? [{ cid: body.kept, role: "kept" as const }] : []),
    { cid: body.tree, role: "tree" },
    ...others.map((cid) => ({ cid, role: "other" as const })),
    ...checkedWith(commit),
  ];
}

/** What checking a commit needs besides itself. */
function checkedWith({ body, certificate }: Commit): Pending[] {
  return [certificate, ...linkedHeads(body.heads)].map((cid) => ({ cid, role: "other" }));
}
