/** Where an agent begins: the bucket's root, an old state of it, or the last root seen when the bucket is out of reach. */
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { hasCode } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";
import type { Ports } from "../../base/ports.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { findCommit } from "../../bucket/find-commit.ts";
import type { Supervision } from "../../fuse/supervisor.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import { LAST_BASE, parseBase } from "./last-base.ts";
import { holdsUnpublished } from "./start-over.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

export interface FirstBaseOptions extends Pick<Ports, "clock" | "log"> {
  /** An old state, as named by `--at`. */
  readonly at: string | undefined;
  readonly stateDir: string;
  /** How the agent is supervised: whether it takes over a mount. */
  readonly supervision?: Pick<Supervision, "handoff"> | undefined;
}

/**
 * Throws `no_such_bucket`, `no_such_root`, and what reading throws if no root was seen before. A distrusted bucket throws,
 * too, unless the state holds changes: these are then served on their own base, and the publisher reports the problem.
 *
 * An agent that takes over a mount does not ask the bucket: programs wait, and an answer may take a minute.
 */
export async function firstBase(bucket: Bucket, options: FirstBaseOptions): Promise<BaseRoot> {
  const { at, stateDir, supervision, clock, log } = options;
  const saved = join(stateDir, LAST_BASE);
  const seen = () => (at === undefined ? parseBase(readStateFile(saved)) : undefined);
  const handed = supervision?.handoff === undefined ? undefined : seen();
  if (handed !== undefined) return handed;
  try {
    const base = await currentBase(bucket, at, clock);
    if (at === undefined) writeStateFile(saved, Buffer.from(JSON.stringify(base)));
    return base;
  } catch (error) {
    const last = seen();
    if (last === undefined || (isDistrust(error) && !(await holdsUnpublished(options)))) throw error;
    log.warn(`Starting from the last root seen: ${describeError(error)}`);
    return last;
  }
}

async function currentBase(bucket: Bucket, at: string | undefined, clock: Clock): Promise<BaseRoot> {
  const current = await bucket.head();
  const commit = at === undefined ? current.commit : await findCommit(bucket, current.commit, at, clock);
  return { commit: commit.cid, tree: commit.body.tree, seq: commit.body.seq };
}

function isDistrust(error: unknown): boolean {
  return hasCode(error, "root_rolled_back", "foreign_bucket");
}
