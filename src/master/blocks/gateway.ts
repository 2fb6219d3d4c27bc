/**
 * GET /ipfs/{cid}: one block, or a DAG as a CAR, after the IPFS trustless gateway
 * (https://specs.ipfs.tech/http-gateways/trustless-gateway/). Paths below a block and deserialized answers are unsupported.
 */
import type { Cid, Wallet } from "../../base/ids.ts";
import { CAR_TYPE, encodeCarHeader } from "../../format/blocks/car.ts";
import { carPieces } from "../../blocks/car-batch.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { Refusal } from "../http/refusal.ts";
import type { Answer, Call } from "../http/route.ts";
import type { MasterParts } from "../parts.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";
import type { Reading } from "./car-stream.ts";
import { cidFrom } from "./cids.ts";
import { walkDag, type Walking } from "./dag-walk.ts";

export async function gateway(parts: MasterParts, call: Call): Promise<Answer> {
  const cid = cidFrom(call.params["cid"]);
  const format = formatOf(call);
  const scope = scopeOf(call);
  const { owner, blocks, size } = await holderOf(parts, call, cid);
  const reading: Walking = { blocks, owner, answers: parts.answers, walks: parts.walks, signal: call.signal };
  const isInTheWay = () => parts.answers.isWanted(owner);
  const etag = format === "raw" ? `"${cid}"` : `"${cid}.car.${scope}"`;
  const headers = {
    etag,
    "cache-control": `${parts.publicBlocks ? "public" : "private"}, max-age=${YEAR_SECONDS}, immutable`,
    vary: parts.publicBlocks ? "Accept" : "Accept, Authorization",
    "x-ipfs-path": `/ipfs/${cid}`,
    "x-ipfs-roots": cid,
  };
  if (matches(call.headers["if-none-match"], etag)) return { status: 304, headers };
  const file = `attachment; filename="${cid}.${format === "raw" ? "bin" : "car"}"`;
  if (format === "raw") {
    const raw = { "content-type": RAW_TYPE, "content-disposition": file, "content-length": String(size) };
    const body = call.isHead ? undefined : await begun(oneBlock(reading, cid, size));
    return {
      status: 200,
      headers: { ...headers, ...raw },
      ...(body === undefined ? {} : { body, isInTheWay, isBegun: true }),
    };
  }
  const car = { "content-type": `${CAR_TYPE}; version=1; order=dfs; dups=n`, "content-disposition": file };
  return { status: 200, headers: { ...headers, ...car }, body: carBelow(reading, cid, scope), isInTheWay };
}

const RAW_TYPE = "application/vnd.ipld.raw";
const YEAR_SECONDS = 31_536_000;
type Format = "raw" | "car";
type Scope = "block" | "entity" | "all";

/** The query takes precedence over the Accept header. Throws `malformed_request`. */
function formatOf({ query, headers }: Call): Format {
  const asked = query.get("format");
  if (asked === "raw" || asked === "car") return asked;
  if (asked === null) {
    const accept = (headers.accept ?? "").toLowerCase();
    if (accept.includes(CAR_TYPE)) return "car";
    if (accept.includes(RAW_TYPE)) return "raw";
  }
  throw new Refusal(
    "malformed_request",
    "Choose a format: ?format=raw, ?format=car, or the same in the Accept header.",
  );
}

/** Throws `malformed_request`. */
function scopeOf({ query }: Call): Scope {
  const asked = query.get("dag-scope") ?? "all";
  if (asked === "block" || asked === "entity" || asked === "all") return asked;
  throw new Refusal("malformed_request", "dag-scope must be block, entity or all.");
}

interface Holder {
  readonly owner: string;
  readonly blocks: OwnerBlocks;
  readonly size: number;
}

/** The caller's blocks; with public blocks, those of any owner who has it. Throws `block_not_found`. */
async function holderOf(parts: MasterParts, call: Call, cid: Cid): Promise<Holder> {
  const { wallet } = parts.publicBlocks ? (call.knownCaller ?? {}) : call.caller;
  const own = wallet && (await heldBy(parts, wallet, cid));
  const holder = own ?? (parts.publicBlocks ? await anyHolder(parts, call, cid) : undefined);
  if (holder === undefined) throw blockNotFound(cid);
  return holder;
}

async function heldBy({ stores }: MasterParts, owner: Wallet, cid: Cid): Promise<Holder | undefined> {
  const blocks = await stores.of(owner);
  const size = await blocks.size(cid);
  return size === undefined ? undefined : { owner, blocks, size };
}

async function anyHolder({ search }: MasterParts, { peer, signal }: Call, cid: Cid): Promise<Holder | undefined> {
  const found = await search.find(cid, peer?.address, signal);
  return found && { ...found, owner: "" };
}

/** Memory is taken before the block is read, and returned once it is sent. */
async function* oneBlock(
  { blocks, answers, owner, signal }: Reading,
  cid: Cid,
  size: number,
): AsyncGenerator<Uint8Array> {
  using _memory = await answers.hold(owner, size, signal);
  yield await blocks.get(cid);
}

/** Waits for a stream's first piece, so that failures until then become an error answer and not a cut stream. */
async function begun(stream: AsyncGenerator<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  let first: IteratorResult<Uint8Array> | undefined = await stream.next();
  const pieces: AsyncIterableIterator<Uint8Array> = {
    [Symbol.asyncIterator]: () => pieces,
    async next() {
      const piece = first ?? (await stream.next());
      first = undefined;
      return piece;
    },
    return: () => stream.return(undefined),
  };
  return pieces;
}

/** Blocks here are not UnixFS, so an entity is its one block. A missing block below breaks the CAR off. */
async function* carBelow(reading: Walking, root: Cid, scope: Scope): AsyncGenerator<readonly Uint8Array[]> {
  yield [encodeCarHeader([root])];
  for await (const block of walkDag(reading, root)) {
    yield [...carPieces([block])];
    if (scope !== "all") return;
  }
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2). */
function matches(condition: string | undefined, etag: string): boolean {
  if (condition === undefined) return false;
  return condition.split(",").some((tag) => ["*", etag, `W/${etag}`].includes(tag.trim()));
}
