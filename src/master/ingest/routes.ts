/** Stores one verified block a call: for nodes and tools without buckets. */
import { Budget } from "../../base/budget.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../base/limits.ts";
import { addressOf } from "../../blocks/block-codec.ts";
import { INGEST_CONCURRENCY } from "../limits.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { cidFrom } from "../blocks/cids.ts";
import { begunBody } from "../http/begun-body.ts";
import { Refusal } from "../http/refusal.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";

export function ingestRoutes(parts: MasterParts): Route[] {
  const slots = new Budget(INGEST_CONCURRENCY);
  const handle = (call: Call) => ingest(parts, slots, call);
  return (["PUT", "POST"] as const).map((method) => ({ method, path: "/v0/block", access: "bearer", handle }));
}

async function ingest(parts: MasterParts, slots: Budget, call: Call): Promise<Answer> {
  const { bodies, quota, quotaGate } = parts;
  const { wallet, bearer } = call.caller;
  const cid = declaredCid(call);
  const declared = Number(call.headers["content-length"] ?? MAX_BLOCK_ACCEPTED);
  if (declared > MAX_BLOCK_ACCEPTED) throw tooLong();
  await quotaGate?.check(bearer);
  await quota.check(wallet);
  let held = 0;
  const reserve = async () => {
    await bodies.take(wallet, declared, call.signal);
    held = declared;
  };
  try {
    const isInTheWay = () => held > 0 && bodies.isWanted(wallet);
    const bytes = await readBlock(begunBody(call.body(MAX_BLOCK_ACCEPTED, isInTheWay), reserve));
    using _slot = await slots.hold(1, call.signal);
    await store(parts, call, cid, bytes);
    return { status: 200, json: { cid, size: bytes.length } };
  } finally {
    bodies.give(wallet, held);
  }
}

async function store({ stores, quota }: MasterParts, { caller }: Call, cid: Cid, bytes: Uint8Array): Promise<void> {
  const actual = addressOf(codecOf(cid), bytes);
  if (actual !== cid) {
    throw new Refusal("cid_mismatch", "The body does not match the CID. Nothing was stored.", {
      details: { declared: cid, actual },
    });
  }
  const arrived = await quota.admit(caller.wallet, [{ cid, bytes }]);
  try {
    await (await stores.of(caller.wallet)).put([{ cid, bytes }]);
  } finally {
    arrived();
  }
}

function declaredCid({ query }: Call): Cid {
  const text = query.get("cid");
  if (text === null || text === "") throw new Refusal("bad_cid", "Name the block: ?cid=…");
  return cidFrom(text);
}

async function readBlock(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  const [first] = pieces;
  if (first === undefined) throw new Refusal("empty_body", "The body is empty. Send the block's bytes.");
  return pieces.length === 1 ? first : Buffer.concat(pieces);
}

function tooLong(): Refusal {
  return new Refusal("limit_exceeded", `A block can have at most ${MAX_BLOCK_ACCEPTED} bytes.`, {
    details: { limit: MAX_BLOCK_ACCEPTED },
  });
}
