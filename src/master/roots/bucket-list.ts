/** The list of an owner's buckets: roots, versions, and the sizes recorded in their commits. */
import type { Cid } from "../../base/ids.ts";
import { hasCode } from "../../base/errors.ts";
import { MAX_BUCKETS_LISTED } from "../limits.ts";
import { isGone } from "../../blocks/not-found.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import type { Totals } from "../../format/commits/commit-body.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";
import { nameInvalid } from "./bucket-name.ts";
import type { BucketRoots } from "./bucket-roots.ts";

/** `?after=NAME` continues behind that name: an answer has at most MAX_BUCKETS_LISTED, and `next` is where to continue. */
export function bucketListRoute(roots: BucketRoots): Route {
  return { method: "GET", path: "/v1/buckets", access: "bearer", handle: (call) => listBuckets(roots, call) };
}

async function listBuckets(roots: BucketRoots, { caller, query }: Call): Promise<Answer> {
  const after = query.get("after") ?? "";
  // Other names are taken: the table may have rows of other software. PostgreSQL has no text with a zero.
  if (after.includes("\0")) throw nameInvalid();
  const rows = await roots.list(caller.wallet, after, MAX_BUCKETS_LISTED + 1);
  const listed = rows.slice(0, MAX_BUCKETS_LISTED);
  const blocks = await roots.blocksOf(caller.wallet);
  const buckets = [];
  for (const { bucket, commit, version, updatedAt } of listed) {
    buckets.push({ bucket, root: commit, version, updatedAt, totals: await totalsOf(blocks, commit) });
  }
  const next = rows.length > listed.length ? listed.at(-1)?.bucket : undefined;
  return { status: 200, headers: { "cache-control": "no-store" }, json: { buckets, next: next ?? null } };
}

/** Null if the commit cannot be read: `verify` reports why. */
async function totalsOf(blocks: OwnerBlocks, commit: Cid): Promise<Totals | null> {
  try {
    return decodeCommit(await blocks.get(commit)).body.totals;
  } catch (error) {
    if (isGone(error) || hasCode(error, "format_invalid", "feature_unknown")) return null;
    throw error;
  }
}
