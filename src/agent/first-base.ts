/** Where an agent begins: the bucket's root, an old state of it, or the last root seen when the bucket is out of reach. */
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Lamport } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import { findCommit } from "../bucket/history.ts";
import { parseCid } from "../format/cid.ts";
import type { BaseRoot } from "../overlay/journal-record.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

export interface FirstBaseOptions {
  /** An old state, as `--at` names it. */
  readonly at: string | undefined;
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Throws `no_such_bucket`, `no_such_root`, and what reading throws when no root was seen before. */
export async function firstBase(bucket: Bucket, options: FirstBaseOptions): Promise<BaseRoot> {
  const { at, stateDir, clock, log } = options;
  const saved = join(stateDir, LAST_BASE);
  try {
    const base = await currentBase(bucket, at, clock);
    if (at === undefined) writeStateFile(saved, Buffer.from(JSON.stringify(base)));
    return base;
  } catch (error) {
    const last = at === undefined ? parseBase(readStateFile(saved)) : undefined;
    if (last === undefined) throw error;
    log.warn(`Starting from the last root seen: ${describeError(error)}`);
    return last;
  }
}

/** The file in a state that holds the last root seen. */
export const LAST_BASE = "base.json";

/** Undefined for what is no root: it is only a copy of what the bucket has. */
export function parseBase(bytes: Buffer | undefined): BaseRoot | undefined {
  if (bytes === undefined) return undefined;
  try {
    const { commit, tree, seq } = JSON.parse(bytes.toString("utf8")) as Record<keyof BaseRoot, unknown>;
    if (typeof commit !== "string" || typeof tree !== "string" || !Number.isSafeInteger(seq)) return undefined;
    return { commit: parseCid(commit), tree: parseCid(tree), seq: seq as Lamport };
  } catch {
    return undefined;
  }
}

async function currentBase(bucket: Bucket, at: string | undefined, clock: Clock): Promise<BaseRoot> {
  const current = await bucket.head();
  const commit = at === undefined ? current.commit : await findCommit(bucket, current.commit, at, clock);
  return { commit: commit.cid, tree: commit.body.tree, seq: commit.body.seq };
}
