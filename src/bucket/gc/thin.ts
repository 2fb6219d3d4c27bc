/**
 * Thins a bucket's history by the rule of retention, wherever the bucket is stored: a maintenance commit drops the commits
 * that are not retained, by an ordinary swap. Collecting unreachable blocks is left to the storage.
 */
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Lamport } from "../../base/ids.ts";
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS, PUBLISH_ATTEMPTS } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { Random } from "../../base/random.ts";
import type { Retention } from "../../format/commits/retention.ts";
import type { SwapOutcome } from "../../roots/root-store.ts";
import type { Bucket, CurrentRoot } from "../bucket.ts";
import type { Writer } from "../publish/next-commit.ts";
import type { RetentionRule } from "./retention.ts";
import { blocksOf, CommitTimes, type History, historyOf, makeMaintenance } from "./maintenance.ts";

export interface ThinOptions extends Pick<Ports, "clock" | "random"> {
  readonly bucket: Bucket;
  /** A device that no other process publishes with at the same time. */
  readonly writer: Writer;
  /** Reports what would be dropped, and changes nothing. */
  readonly dryRun: boolean;
  /** Which commits stay, in place of `retained`. */
  readonly rule?: RetentionRule;
}

export interface ThinReport {
  /** The rule by which it thinned: the one that the newest root names. */
  readonly retention: Retention;
  /** Of the root that it thinned, or would thin. */
  readonly seq: Lamport;
  /** Retained before and after, the newest included. */
  readonly commits: { readonly before: number; readonly after: number };
  readonly swaps: number;
}

/** Throws `root_moved` when other writers kept coming first, and as publishing does. */
export async function thin(options: ThinOptions): Promise<ThinReport> {
  const { bucket, clock, random, dryRun } = options;
  const times = new CommitTimes(bucket);
  for (let attempt = 0; attempt < PUBLISH_ATTEMPTS; attempt++) {
    if (attempt > 0) await clock.sleep(pauseMs(attempt, random));
    const head = await bucket.head();
    const history = await historyOf(bucket, head.commit, clock.nowNs(), times, new Set(), options.rule);
    const [kept, thinned] = [history.kept.length + 1, history.thinned.length];
    const commits = { before: kept + thinned, after: kept };
    const { retention } = history;
    const report = { retention, seq: head.commit.body.seq, commits };
    if (thinned === 0 || dryRun) return { ...report, swaps: 0 };
    if (await letGo(options, head, history)) return { ...report, swaps: 1 };
  }
  throw new SynclineError("root_moved", "The bucket kept changing, so thinning its history gave up.", {
    hint: "Nothing was lost or thinned. Try again when there are fewer writes.",
  });
}

/** Whether the swap took place. If that is unknown, the next attempt finds out: thinned commits are not thinned twice. */
async function letGo({ bucket, writer, clock, random }: ThinOptions, head: CurrentRoot, history: History) {
  const maintenance = await makeMaintenance(bucket, writer, clock, random, head.commit, history.thinned);
  const { commit } = maintenance.made;
  const blocks = blocksOf(maintenance).filter(({ cid }) => cid !== commit.cid);
  await using session = bucket.remote.beginUpload();
  let outcome: SwapOutcome;
  try {
    const prepared = await session.prepare(head.root, { commit, blocks });
    outcome = await prepared.swap();
  } catch (error) {
    if (hasCode(error, "root_moved")) return false;
    throw error;
  }
  return outcome.kind === "committed";
}

function pauseMs(attempt: number, random: Random): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt) * (0.5 + random.fraction() / 2);
}
