/** Calls on the caller's blocks. Blocks of others are reported as missing. */
import { MAX_GET_CIDS, MAX_HAVE_CIDS } from "../../base/limits.ts";
import { CAR_TYPE } from "../../format/blocks/car.ts";
import type { Answer, Call, Route } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";
import { carOf } from "./car-stream.ts";
import { cidsIn } from "./cids.ts";
import { gateway } from "./gateway.ts";
import { uploadBlocks } from "./upload.ts";

export function blockRoutes(parts: MasterParts): Route[] {
  const access = "bearer";
  return [
    { method: "POST", path: "/v1/blocks", access, handle: (call) => uploadBlocks(parts, call) },
    { method: "POST", path: "/v1/blocks/have", access, handle: (call) => have(parts, call) },
    { method: "POST", path: "/v1/blocks/get", access, handle: (call) => get(parts, call) },
    {
      method: "GET",
      path: "/ipfs/{cid}",
      access: parts.publicBlocks ? "either" : access,
      paced: parts.publicBlocks,
      handle: (call) => gateway(parts, call),
    },
  ];
}

/** Leases the blocks that are present, so that they still are when the caller's root is swapped. */
async function have({ stores }: MasterParts, call: Call): Promise<Answer> {
  const cids = cidsIn(await call.json(), MAX_HAVE_CIDS);
  const blocks = await stores.of(call.caller.wallet);
  // In this order, so that the collector deletes nothing in between.
  await blocks.lease(cids);
  const there = await blocks.has(cids);
  return { status: 200, json: { missing: cids.filter((cid) => !there.has(cid)) } };
}

async function get({ stores, answers, answerSlabs: slabs }: MasterParts, call: Call): Promise<Answer> {
  const cids = cidsIn(await call.json(), MAX_GET_CIDS);
  const { wallet } = call.caller;
  const reading = { blocks: await stores.of(wallet), answers, slabs, owner: wallet, signal: call.signal };
  const headers = { "content-type": `${CAR_TYPE}; version=1`, "cache-control": "no-store" };
  return { status: 200, headers, body: carOf(reading, cids), isInTheWay: () => answers.isWanted(wallet) };
}
