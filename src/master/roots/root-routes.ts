/** The calls on a bucket's root: read it, swap it. */
import { hasCode } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { cidFrom } from "../blocks/cids.ts";
import { Refusal } from "../http/refusal.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import { BUCKET_PATHS, bucketOf, noSuchBucket } from "./bucket-name.ts";
import type { BucketRoots } from "./bucket-roots.ts";
import { entityTag, isFresh, swapCondition } from "./condition.ts";
import type { TurnLines } from "./turn-lines.ts";
import { turnIn } from "./turn-routes.ts";

export function rootRoutes(roots: BucketRoots, turns: TurnLines): Route[] {
  return BUCKET_PATHS.flatMap((path): Route[] => [
    { method: "GET", path: `${path}/root`, access: "bearer", handle: (call) => readRoot(roots, call) },
    { method: "PUT", path: `${path}/root`, access: "bearer", handle: (call) => swapRoot(roots, turns, call) },
  ]);
}

async function readRoot(roots: BucketRoots, call: Call): Promise<Answer> {
  const root = await roots.read(bucketOf(call));
  if (root === undefined) throw noSuchBucket();
  const headers = { etag: entityTag(root.commit), "cache-control": "private, no-cache" };
  if (isFresh(call.headers, root.commit)) return { status: 304, headers };
  const { commit, version, updatedAt, stale } = root;
  return { status: 200, headers, json: { root: commit, version, updatedAt, ...(stale ? { stale } : {}) } };
}

async function swapRoot(roots: BucketRoots, turns: TurnLines, call: Call): Promise<Answer> {
  const name = bucketOf(call);
  const condition = swapCondition(call.headers);
  const next = rootIn(await call.json());
  try {
    const { commit, version } = await roots.swap(name, condition, next, call.signal);
    turns.end(name, turnIn(call.headers));
    return { status: 200, headers: { etag: entityTag(commit) }, json: { root: commit, version } };
  } catch (error) {
    if (!hasCode(error, "arbiter_unreachable")) throw error;
    const message = "The root was not swapped: the arbiter is unreachable. Try again later.";
    throw new Refusal("arbiter_unreachable", message, { details: { outcome: "unchanged" }, cause: error });
  }
}

/** Throws `malformed_request`, and `bad_cid`. */
function rootIn(body: unknown): Cid {
  const { root } = typeof body === "object" && body !== null ? (body as { root?: unknown }) : {};
  if (typeof root !== "string") throw new Refusal("malformed_request", 'The body must be {"root": CID}.');
  return cidFrom(root);
}
