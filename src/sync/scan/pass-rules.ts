/** The ignore rules of this pass, and of the last one. */
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import type { SyncDatabase } from "../known/database.ts";
import { rulesInBucket } from "./bucket-rules.ts";
import { type IgnoreRules, NO_RULES, parseRules, readRules, rulesFrom } from "./ignore-rules.ts";
import { movesThatWait, withBucketPaths } from "./moves-that-wait.ts";
import type { ScanRules } from "./match.ts";

interface RulesContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly bucket: Bucket;
  readonly hidden?: readonly DiskPath[] | undefined;
}

/** `read` throws `precondition_failed`; `readComing` also throws as reading the bucket does. */
export class PassRules implements ScanRules {
  now: IgnoreRules = NO_RULES;
  last: IgnoreRules = NO_RULES;
  readonly #context: RulesContext;
  /** The bucket's rules, while the folder has not received any. */
  #coming = "";

  constructor(context: RulesContext) {
    this.#context = context;
  }

  /** Reads the folder's own. */
  async read(): Promise<void> {
    const { db } = this.#context;
    this.now = await this.#newest();
    const [digest, source] = [db.fact("rules"), db.fact("rules source")];
    if (digest === undefined || digest === this.now.digest) this.last = this.now;
    // Earlier versions kept no source: what was ignored is unknown.
    else this.last = (source && (await rulesFrom(source))) || (await parseRules("*"));
  }

  /** Reads also those of a root that the folder is about to receive. */
  async readComing(nodes: NodeStore, head: VerifiedCommit): Promise<void> {
    this.#coming = await rulesInBucket(this.#context, nodes, head);
    await this.read();
    const rules = withBucketPaths(this.now, await movesThatWait(this.#context.db, nodes, this.now));
    if (this.last === this.now) this.last = rules;
    this.now = rules;
  }

  /** Whether the last scan had other rules. */
  get haveChanged(): boolean {
    return this.#context.db.fact("rules") !== this.now.digest;
  }

  /** Whether the folder has others by now. */
  async areOutdated(): Promise<boolean> {
    return (await this.#newest()).digest !== this.now.digest;
  }

  /** Stores that a scan has used these. */
  keep(): void {
    const { db } = this.#context;
    this.last = this.now;
    if (db.fact("rules source") === this.now.source) return;
    db.setFact("rules", this.now.digest);
    db.setFact("rules source", this.now.source);
  }

  #newest(): Promise<IgnoreRules> {
    const { disk, hidden } = this.#context;
    return readRules(disk, hidden, this.#coming);
  }
}
