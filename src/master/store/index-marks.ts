/**
 * What collections write into an owner's index: which blocks they reached, and since when it counts that a node is complete.
 *
 * Collections are numbered. A node counts as complete if it was found so in the *era* of the last collection that took something: so nothing
 * that was remembered before leads to what that one took, and nothing has to be cleared for it.
 */
import type Database from "better-sqlite3";

export interface Sweep {
  /** The number of the collection. */
  readonly collection: number;
  /** Leases from before this have ended: seconds since 1970. */
  readonly leasedBefore: number;
  /** Forgets nothing, and writes nothing. */
  readonly dryRun: boolean;
  /** Packs of which it is counted what stays, by name, up to where in each. */
  readonly ends: ReadonlyMap<string, number>;
}

/** What one step of a sweep came upon. */
export interface SweepStep {
  /** Where the next one goes on; undefined: this was the last one. */
  readonly last: Uint8Array | undefined;
  /** Blocks that are forgotten, or would be. */
  readonly gone: { readonly blocks: number; readonly bytes: number };
  /** Bytes of blocks that stay, by pack, 0 too. */
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

  /** Whether this collection marked the node and all below it. */
  isMarked(digest: Uint8Array, collection: number): boolean {
    return this.#complete.get(digest)?.complete === collection;
  }

  /** Whether this collection marked the block in any way. */
  isReached(digest: Uint8Array, collection: number): boolean {
    return (this.#seen.get(digest)?.seen ?? 0) >= collection;
  }

  /** Marks blocks as reached; answers how many were not before. Bytes that are a chunk may be a node too, whose links are another matter. */
  markReached(digests: Iterable<Uint8Array>, collection: number): number {
    return eachIn(this.#db, digests, (digest) => this.#markSeen.run(collection, digest, collection).changes);
  }

  /** Marks nodes, below which everything is marked; answers how many were not reached before. */
  markNodes(digests: Iterable<Uint8Array>, collection: number): number {
    return eachIn(this.#db, digests, (digest) => {
      this.#markComplete.run(collection, digest, collection);
      return this.#markSeen.run(collection, digest, collection).changes;
    });
  }

  /** From now on only what this collection marked counts as complete, and what is found so later. */
  beginEra(collection: number): void {
    this.#db.prepare("UPDATE totals SET era = ?").run(collection);
    this.#era = collection;
  }

  /** Looks at the next `limit` blocks behind `after`, and forgets what was not marked and is not leased, or is damaged in a sealed pack. */
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
        // Else whoever sends it again could get it into the same pack, behind the damaged copy.
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

/** Changes rows for each of them, in one transaction; answers how many rows in all. */
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
