/**
 * The ignore rules of this pass, and of the last one. Editors empty or rename a file before they write it anew: what was
 * ignored must not be published because of that.
 */
import type { Bucket } from "../../bucket/bucket.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { DiskPath, SyncDisk } from "../disk/disk.ts";
import { IGNORE_FILE } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import { rulesInBucket } from "./bucket-rules.ts";
import { type IgnoreRules, isBlank, NO_RULES, parseRules, readRules, rulesFrom } from "./ignore-rules.ts";
import { movesThatWait, withBucketPaths } from "./moves-that-wait.ts";
import type { ScanRules } from "./match.ts";

interface RulesContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly bucket: Bucket;
  readonly hidden?: readonly DiskPath[] | undefined;
}

/** The rules that a scan used. */
export interface UsedRules {
  readonly now: IgnoreRules;
  /** Whether the folder has others by now. Throws `precondition_failed`. */
  areOutdated(): Promise<boolean>;
}

/** `read` throws `precondition_failed`; `readComing` also throws as reading the bucket does. */
export class PassRules implements ScanRules, UsedRules {
  now: IgnoreRules = NO_RULES;
  last: IgnoreRules = NO_RULES;
  /** Whether a scan before this pass, or in it, had other rules. */
  haveChanged = false;
  readonly #context: RulesContext;
  /** The bucket's rules, while the folder has not received any. */
  #coming = "";
  #read: IgnoreRules = NO_RULES;
  /** The folder has no rules any more, which the next pass has to confirm. Until then, those of the last pass hold. */
  #isUnconfirmed = false;
  /** Nothing awaits confirmation: the last pass found no rules either, or nothing is published. */
  readonly #confirms: boolean;

  constructor(context: RulesContext, isDryRun: boolean) {
    this.#context = context;
    this.#confirms = isDryRun || context.db.fact("rules emptied") !== undefined;
  }

  /** Reads the folder's own. */
  async read(): Promise<void> {
    const { db, hidden = [] } = this.#context;
    this.#read = await this.#newest();
    this.now = this.#read;
    const [digest, source] = [db.fact("rules"), db.fact("rules source")];
    if (digest === undefined || digest === this.now.digest) this.last = this.now;
    // Earlier versions kept no source: what was ignored is unknown.
    else this.last = (source && (await rulesFrom(source))) || (await parseRules("*"));
    this.#isUnconfirmed = !this.#confirms && isBlank(this.now.text) && !isBlank(this.last.text);
    // The file itself waits, too, or other folders would publish what they ignore.
    if (this.#isUnconfirmed) this.now = await parseRules(this.last.text, [...hidden, [IGNORE_FILE]]);
  }

  /** Reads also those of a root that the folder is about to receive. */
  async readComing(nodes: NodeStore, head: VerifiedCommit): Promise<void> {
    this.#coming = await rulesInBucket(this.#context, nodes, head);
    await this.read();
    const rules = withBucketPaths(this.now, await movesThatWait(this.#context.db, nodes, this.now));
    if (this.last === this.now) this.last = rules;
    this.now = rules;
    this.haveChanged ||= this.#context.db.fact("rules") !== rules.digest;
  }

  async areOutdated(): Promise<boolean> {
    return (await this.#newest()).digest !== this.#read.digest;
  }

  /** Whether the next pass will have others. */
  async willChange(): Promise<boolean> {
    return this.#isUnconfirmed || (await this.areOutdated());
  }

  /** Stores that a scan has used these. */
  keep(): void {
    const { db } = this.#context;
    db.setFact("rules emptied", this.#isUnconfirmed ? "yes" : undefined);
    if (this.#isUnconfirmed) return;
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
