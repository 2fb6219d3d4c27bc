/**
 * Finds old commits that a lost one led to: no readable block names them, but later publications look for ancestors there,
 * and a repair may bring the lost one back. Rows do not say what a block is, so each small one is read.
 */
import { unlessSync } from "../../base/unless.ts";
import type { Cid, Lamport } from "../../base/ids.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { cidFromDigest } from "../../format/blocks/cid.ts";
import type { PackRow } from "../../format/blocks/pack.ts";
import { decodeCommit, looksLikeCommit, MAX_COMMIT_BYTES } from "../../format/commits/commit.ts";
import { readableBlocks } from "../readable-blocks.ts";
import { isWrongCommit } from "../verified-commit.ts";

/** How many blocks are read at once. */
const BATCH = 64;

export interface UnlinkedSearch {
  readonly rows: AsyncIterable<PackRow>;
  readonly blocks: BlockReader;
  /** Whether a block is known to be needed, and need not be read. */
  readonly isKnown: (digest: Uint8Array) => boolean;
  readonly genesis: Cid;
  /** Only commits before this one. */
  readonly seq: Lamport;
}

/** May yield a commit several times. */
export async function* unlinkedCommits({ rows, blocks, isKnown, genesis, seq }: UnlinkedSearch): AsyncGenerator<Cid> {
  let batch: Cid[] = [];
  const isWanted = (bytes: Uint8Array) => {
    const body = bodyOf(bytes);
    return body !== undefined && body.genesis === genesis && body.seq < seq;
  };
  const search = async () => {
    const found = await readableBlocks(blocks, batch);
    batch = [];
    return [...found].flatMap(([cid, bytes]) => (isWanted(bytes) ? [cid] : []));
  };
  for await (const { digest, length } of rows) {
    if (length > MAX_COMMIT_BYTES || isKnown(digest)) continue;
    batch.push(cidFromDigest("dag-cbor", digest));
    if (batch.length === BATCH) yield* await search();
  }
  yield* await search();
}

function bodyOf(bytes: Uint8Array) {
  return unlessSync(isWrongCommit, () => (looksLikeCommit(bytes) ? decodeCommit(bytes).body : undefined));
}
