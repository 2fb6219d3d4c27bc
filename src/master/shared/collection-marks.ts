/** The blocks that a collection has reached, and the nodes with everything below them reached, in a temporary file. */
import type Database from "better-sqlite3";
import type { Cid } from "../../base/ids.ts";
import { codecOf, digestOf } from "../../format/blocks/cid.ts";
import type { Databases } from "../../objects/databases.ts";
import type { CollectionProgress, WalkedBlocks } from "../store/owner-blocks.ts";
import type { SharedBlocks } from "./shared-blocks.ts";

export class CollectionMarks implements Disposable {
  /** For a walk: nodes are complete once they are marked with everything below them. Condemned blocks count. */
  readonly marks: WalkedBlocks;
  #count = 0;
  readonly #db: Database.Database;
  readonly #node: Database.Statement<[Uint8Array], { node: 0 | 1 }>;
  readonly #put: Database.Statement<[Uint8Array, 0 | 1]>;

  constructor(blocks: SharedBlocks, databases: Databases) {
    this.#db = databases.open("");
    this.#db.exec("CREATE TABLE marks (digest BLOB PRIMARY KEY, node INTEGER NOT NULL) WITHOUT ROWID");
    this.#node = this.#db.prepare("SELECT node FROM marks WHERE digest = ?");
    this.#put = this.#db.prepare(
      "INSERT INTO marks VALUES (?, ?) ON CONFLICT DO UPDATE SET node = max(node, excluded.node)",
    );
    const find = (cid: Cid) => blocks.cache.find(digestOf(cid));
    this.marks = {
      get: (cid) => blocks.get(cid),
      size: async (cid) => find(cid)?.length,
      complete: async (cids) => new Set(cids.filter((cid) => codecOf(cid) !== "raw" && this.#isNode(cid))),
      markComplete: async (cids) => this.#mark(cids, 1),
      hold: async (cids) => {
        const missing = cids.filter((cid) => find(cid) === undefined);
        if (missing.length > 0) await blocks.lookAgain(missing);
        const there = cids.filter((cid) => find(cid) !== undefined);
        this.#mark(
          there.filter((cid) => codecOf(cid) === "raw"),
          0,
        );
        return new Set(there);
      },
    };
  }

  /** Keeps these blocks, but not what they link to. */
  async protect(cids: readonly Cid[]): Promise<void> {
    this.#mark(cids, 0);
  }

  isProtected(cid: Cid): boolean {
    return this.has(digestOf(cid));
  }

  /** How much will be marked is unknown. */
  get progress(): CollectionProgress {
    return { blocks: this.#count, of: this.#count };
  }

  has(digest: Uint8Array): boolean {
    return this.#node.get(digest) !== undefined;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  #isNode(cid: Cid): boolean {
    return this.#node.get(digestOf(cid))?.node === 1;
  }

  #mark(cids: readonly Cid[], node: 0 | 1): void {
    this.#db.transaction(() => {
      for (const cid of cids) {
        const digest = digestOf(cid);
        if (!this.has(digest)) this.#count++;
        this.#put.run(digest, node);
      }
    })();
  }
}
