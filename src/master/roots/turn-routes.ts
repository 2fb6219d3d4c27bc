/** The calls on a bucket's line: wait for a turn, and end it. Optional: writers may skip them. */
import type { IncomingHttpHeaders } from "node:http";
import type { Answer, Call, Route } from "../http/route.ts";
import { BUCKET_PATHS, bucketOf, noSuchBucket } from "./bucket-name.ts";
import type { BucketRoots, OwnedBucket } from "./bucket-roots.ts";
import { firstReads } from "./first-reads.ts";
import type { TurnLines } from "./turn-lines.ts";

export function turnRoutes(roots: BucketRoots, turns: TurnLines): Route[] {
  return BUCKET_PATHS.flatMap((path): Route[] => [
    { method: "POST", path: `${path}/turn`, access: "bearer", handle: (call) => takeTurn(roots, turns, call) },
    { method: "DELETE", path: `${path}/turn`, access: "bearer", handle: (call) => endTurn(turns, call) },
  ]);
}

/** The turn that a caller claims; anything else matches no turn. */
export function turnIn(headers: IncomingHttpHeaders): string {
  const turn = headers["syncline-turn"];
  return typeof turn === "string" ? turn : "";
}

async function takeTurn(roots: BucketRoots, turns: TurnLines, call: Call): Promise<Answer> {
  const name = bucketOf(call);
  if ((await roots.read(name)) === undefined) throw noSuchBucket();
  const turn = await turns.take(name, call.caller.wallet, call.signal);
  if (turn === undefined) return { status: 204 };
  const { id, waited } = turn;
  return {
    status: 200,
    headers: { "cache-control": "no-store" },
    json: { turn: id, waited, ...(await rootNow(roots, name)) },
  };
}

/** The current root and the first blocks to read, so that the turn's holder need not ask; nothing if that is uncertain. */
async function rootNow(roots: BucketRoots, name: OwnedBucket) {
  const row = await roots.read(name).catch(() => undefined);
  if (row === undefined || row.stale) return undefined;
  const blocks = await roots.blocksOf(name.owner).then(
    (stored) => firstReads(stored, row.commit),
    () => [],
  );
  const texts = blocks.map((block) => Buffer.from(block.buffer, block.byteOffset, block.length).toString("base64"));
  return { root: row.commit, version: row.version, blocks: texts };
}

async function endTurn(turns: TurnLines, call: Call): Promise<Answer> {
  turns.end(bucketOf(call), turnIn(call.headers));
  return { status: 204 };
}
