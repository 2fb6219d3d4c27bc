/**
 * A collection's records in an owner's index: which blocks it reached, and since when nodes count as complete.
 *
 * Collections are numbered. A node counts as complete if it was found so in the *era* of the last collection that deleted
 * something. So no earlier record leads to deleted blocks, and no records need clearing.
 */
import type Database from "better-sqlite3";

export interface Sweep {
  readonly collection: number;
  /** Leases from before this are over: seconds since 1970. */
  readonly leasedBefore: number;
  /** Deletes nothing, and writes nothing. */
  readonly dryRun: boolean;
  /** Packs whose remaining bytes are counted, by name, and up to which offset. */
  readonly ends: ReadonlyMap<string, number>;
}

export interface SweepStep {
  /** Where to continue; undefined: this was the last step. */
  readonly last: Uint8Array | undefined;
  /** Blocks that were deleted, or would be. */
  readonly gone: { readonly blocks: number; readonly bytes: number };
  /** Bytes of remaining blocks, by pack, including 0. */
  readonly live: ReadonlyMap<string, number>;
}

export class IndexMarks {
  readonly #db: Database.Database;
  readonly #complete: Database.Statement<[Uint8Array], { complete: number }>;
  readonly #markComplete: Database.Statement<[number, Uint8Array, number]>;
  readonly #markSeen: Database.Statement<[number, Uint8Array, number]>;
  readonly #seen: Database.Statement<[Uint8Array], { seen: number }>;
  #era: number;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#complete = db.prepare("SELECT complete FROM blocks WHERE digest = ?");
    this.#seen = db.prepare("SELECT seen FROM blocks WHERE digest = ?");
    this.#markComplete = db.prepare("UPDATE blocks SET complete = ? WHERE digest = ? AND complete < ?");
    this.#markSeen = db.prepare("UPDATE blocks SET seen = ? WHERE digest = ? AND seen < ?");
    this.#era = db.prepare<[], { era: number }>("SELECT era FROM totals").get()?.era ?? 1;
  }

  isComplete(digest: Uint8Array): boolean {
    return (this.#complete.get(digest)?.complete ?? 0) >= this.#era;
  }

  markComplete(digests: Iterable<Uint8Array>): void {
    const era = this.#era;
    eachIn(this.#db, digests, (digest) => this.#markComplete.run(era, digest, era).changes);
  }

  /** Begins a collection; answers its number. */
  begin(): number {
    const sql = "UPDATE totals SET marked = marked + 1 RETURNING marked";
    return this.#db.prepare<[], { marked: number }>(sql).get()?.marked ?? 0;
  }

  /** Whether this collection marked the node and everything below it. */
  isMarked(digest: Uint8Array, collection: number): boolean {
    return this.#complete.get(digest)?.complete === collection;
  }

  /** Whether this collection marked the block in any way. */
  isReached(digest: Uint8Array, collection: number): boolean {
    return (this.#seen.get(digest)?.seen ?? 0) >= collection;
  }

  /** Marks blocks as reached; returns how many were new. A node with a chunk's bytes still needs its links marked. */
  markReached(digests: Iterable<Uint8Array>, collection: number): number {
    return eachIn(this.#db, digests, (digest) => this.#markSeen.run(collection, digest, collection).changes);
  }

  /** Marks nodes with everything below them marked; returns how many were not reached before. */
  markNodes(digests: Iterable<Uint8Array>, collection: number): number {
    return eachIn(this.#db, digests, (digest) => {
      this.#markComplete.run(collection, digest, collection);
      return this.#markSeen.run(collection, digest, collection).changes;
    });
  }

  /** From now on only nodes marked by this collection, or found complete later, count as complete. */
  beginEra(collection: number): void {
    this.#db.prepare("UPDATE totals SET era = ?").run(collection);
    this.#era = collection;
  }

  /** Checks the next `limit` blocks after `after`; deletes those neither marked nor leased, or damaged in a sealed pack. */
  sweep(after: Uint8Array, limit: number, { collection, leasedBefore, dryRun, ends }: Sweep): SweepStep {
    const live = new Map<string, number>();
    const gone = { blocks: 0, bytes: 0 };
    const step = () => {
      const rows = this.#db.prepare<[Uint8Array, number], SweptRow>(NEXT).all(after, limit);
      const forget = this.#db.prepare("DELETE FROM blocks WHERE digest = ?");
      for (const { digest, pack, offset, length, damaged, seen, leased, growing } of rows) {
        if (seen >= collection || (leased >= leasedBefore && damaged === 0)) {
          if (length === 0 || offset < (ends.get(pack) ?? 0)) live.set(pack, (live.get(pack) ?? 0) + length);
          continue;
        }
        // Otherwise a resent block could end up in the same pack, behind the damaged copy.
        if (damaged === 1 && growing === 1) continue;
        gone.blocks++;
        gone.bytes += length;
        if (!dryRun) forget.run(digest);
      }
      const count = this.#db.prepare("UPDATE totals SET blocks = blocks - ?, bytes = bytes - ?");
      if (!dryRun && gone.blocks > 0) count.run(gone.blocks, gone.bytes);
      return rows.length < limit ? undefined : rows.at(-1)?.digest;
    };
    const transaction = this.#db.transaction(step);
    return { last: dryRun ? transaction.deferred() : transaction.immediate(), gone, live };
  }
}

const NEXT = `
  SELECT digest, name AS pack, offset, length, damaged, seen, leased, sealed = 0 AS growing FROM blocks JOIN packs ON id = pack
  WHERE digest > ? ORDER BY digest LIMIT ?`;

interface SweptRow {
  readonly digest: Buffer;
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
  readonly damaged: 0 | 1;
  readonly seen: number;
  readonly leased: number;
  readonly growing: 0 | 1;
}

/** Runs a change for each of them in one transaction; returns the total number of changed rows. */
export function eachIn(
  db: Database.Database,
  digests: Iterable<Uint8Array>,
  change: (digest: Uint8Array) => number,
): number {
  let rows = 0;
  db.transaction(() => {
    for (const digest of digests) rows += change(digest);
  }).immediate();
  return rows;
}
