/** Finds the commit that a person names with `--at`: by its address, or by a time. */
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid, Lamport } from "../base/ids.ts";
import { endOfMoment } from "../base/moment.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { isGone } from "../blocks/not-found.ts";
import { parseCid } from "../format/blocks/cid.ts";
import { NodeStore } from "../tree/node-store.ts";
import { commitIfThere, descends, type Gap, history, isGap, isRetained, keptCommits, type Commits } from "./history.ts";
import type { VerifiedCommit } from "./verified-commit.ts";

/** As a Bucket reads commits. */
export interface DatedCommits extends Commits {
  readonly blocks: BlockReader;
  /** As `commit`, but what it includes may be lost or damaged. */
  commitAlone(cid: Cid): Promise<VerifiedCommit>;
}

/**
 * `head` or a retained ancestor by address, or the newest one up to a moment (base/moment.ts). Throws `no_such_root`,
 * `usage` for text that is neither, and `block_not_found` where the root that is meant is lost or damaged, or may be.
 */
export async function findCommit(
  commits: DatedCommits,
  head: VerifiedCommit,
  at: string,
  clock: Pick<Clock, "nowNs">,
): Promise<VerifiedCommit> {
  const endMs = endOfMoment(at, Number(clock.nowNs() / 1_000_000n));
  if (endMs !== undefined) return findByTime(commits, head, at, BigInt(endMs) * 1_000_000n);
  const cid = rootAddress(at);
  const commit = await commitIfThere(commits, cid);
  const retained = await retains(commits, head, cid, commit?.body.seq);
  if (commit === undefined && retained === "yes") throw lostRoot(`Root ${cid} is lost or damaged.`);
  if (commit === undefined) throw noSuchRoot(`This bucket has no root ${cid}.`);
  if (retained === "yes") return commit;
  const descent = await descends(commits, head, { cid, seq: commit.body.seq });
  if (descent === "no") throw noSuchRoot(`Root ${cid} is not in this bucket's history.`);
  if (retained === "unknown") return commit;
  throw noSuchRoot(`Root ${cid} is in the history, but retention removed its contents.`);
}

/** Whether `head` retains the root. `seq`: where it is, if that is known. Unknown: the list cannot be read. */
async function retains(
  { blocks }: DatedCommits,
  head: VerifiedCommit,
  cid: Cid,
  seq: Lamport | undefined,
): Promise<"yes" | "no" | "unknown"> {
  const nodes = new NodeStore(blocks, { capacityBytes: KEPT_CACHE_BYTES });
  try {
    if (seq !== undefined) return (await isRetained(nodes, head, { cid, seq })) ? "yes" : "no";
    for await (const each of keptCommits(nodes, head)) if (each.cid === cid) return "yes";
    return "no";
  } catch (error) {
    if (isGone(error)) return "unknown";
    throw error;
  }
}

const NS_A_MS = 1_000_000n;
/** A few paths of nodes. */
const KEPT_CACHE_BYTES = 1024 * 1024;

/** Looks at each root, from the newest on: clocks differ, so a root may be older than those before it. */
async function findByTime(
  commits: DatedCommits,
  head: VerifiedCommit,
  at: string,
  endNs: bigint,
): Promise<VerifiedCommit> {
  const dated: Commits = {
    commit: (cid) => commits.commitAlone(cid),
    readAhead: async (cids) => commits.readAhead?.(cids),
    blocks: commits.blocks,
  };
  let [first, last]: (Gap | undefined)[] = [];
  for await (const item of history(dated, head)) {
    if (!isGap(item) && item.body.timeNs >= endNs) {
      last = undefined;
      continue;
    }
    const commit = isGap(item) ? undefined : await commitIfThere(commits, item.cid);
    if (isGap(item) || commit === undefined) {
      last = isGap(item) ? item : { seq: item.body.seq, lost: item.cid };
      first ??= last;
    }
    // A root of that very millisecond is the one that is meant.
    else if (last === undefined || item.body.timeNs >= endNs - NS_A_MS) return commit;
    else {
      const message = `The root that is meant by ${JSON.stringify(at)} may be lost or damaged: ${gapText(last)}.`;
      throw lostRoot(message, `Root ${item.cid} is the one before it.`);
    }
  }
  if (first === undefined) throw noSuchRoot(`This bucket has no root from ${JSON.stringify(at)} or earlier.`);
  throw lostRoot(`No root from ${JSON.stringify(at)} or earlier can be read: ${gapText(first)}.`);
}

function gapText({ seq, lost }: Gap): string {
  return lost === undefined ? `the roots up to seq ${seq} are not listed` : `root ${lost} at seq ${seq}`;
}

function rootAddress(at: string): Cid {
  try {
    return parseCid(at);
  } catch (cause) {
    throw new SynclineError("usage", `${JSON.stringify(at)} is neither a root nor a time.`, {
      cause,
      hint: 'Give a root from `syncline log`, or a time: 2026-01-31, "2026-01-31 12:00", yesterday, "2 hours ago".',
    });
  }
}

function noSuchRoot(message: string): SynclineError {
  return new SynclineError("no_such_root", message, { hint: "`syncline log` lists the roots." });
}

function lostRoot(message: string, further?: string): SynclineError {
  const hint = [
    "Run `syncline verify --repair`: it may bring the root back.",
    ...(further === undefined ? [] : [further]),
  ];
  return new SynclineError("block_not_found", message, { hint: hint.join(" ") });
}
