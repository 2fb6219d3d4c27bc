/**
 * The genesis of a bucket: its owner, and the rules for cutting its trees and chunks. Written once; its CID identifies the
 * bucket (docs/reference/formats.md, Genesis).
 *
 * Block: dag-cbor `[body, signature]`; the owner's wallet signs Genesis(address owner,bytes32 body), body = blake3 of the
 * body's dag-cbor.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import {
  DEFAULT_INLINE_BYTES,
  MAX_GENESIS_BYTES,
  MAX_INLINE_CONTENT_BYTES,
  MAX_NODE_TARGET_BYTES,
  MIN_NODE_TARGET_BYTES,
  NODE_TARGET_BYTES,
} from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { blake3 } from "../../crypto/hash.ts";
import type { TypedData } from "../../crypto/typed-data.ts";
import type { WalletSigner } from "../../crypto/wallet.ts";
import {
  recoverWallet,
  WALLET_BYTES,
  WALLET_SIGNATURE_BYTES,
  walletFromBytes,
  walletToBytes,
} from "../../crypto/wallet.ts";
import { asBytes, asCount, asList, asMap, asText, misfit } from "../blocks/cbor-shape.ts";
import { checkChunker, type ChunkerParameters, DEFAULT_CHUNKER } from "../files/chunker.ts";
import { cidOf } from "../blocks/cid.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../blocks/dag-cbor.ts";

/** The EIP-712 domain of all wallet signatures for a bucket; masters use another. */
export const SYNCLINE_DOMAIN = { name: "Syncline", version: "1" } as const;

export interface GenesisBody {
  readonly owner: Wallet;
  /** 16 random bytes, which distinguish two buckets of one owner. */
  readonly nonce: Uint8Array;
  /** How contents are cut. */
  readonly chunker: ChunkerParameters;
  readonly nodes: NodeRules;
  /** 32 bytes that salt node boundaries. */
  readonly salt: Uint8Array;
  /** Files up to this many bytes are stored in their record. */
  readonly inlineBytes: number;
  /** How blocks are sealed; only "none" so far. */
  readonly seal: string;
}

/** How tree nodes are cut. */
export interface NodeRules {
  readonly id: string;
  readonly targetBytes: number;
}

export interface Genesis {
  readonly cid: Cid;
  readonly bytes: Uint8Array;
  readonly body: GenesisBody;
}

export const NODES_ID = "weighted/1";
export const SEAL_NONE = "none";

/** A body with this version's rules. */
export function createGenesisBody(owner: Wallet, random: Random): GenesisBody {
  return {
    owner,
    nonce: random.bytes(NONCE_BYTES),
    chunker: DEFAULT_CHUNKER,
    nodes: { id: NODES_ID, targetBytes: NODE_TARGET_BYTES },
    salt: random.bytes(SALT_BYTES),
    inlineBytes: DEFAULT_INLINE_BYTES,
    seal: SEAL_NONE,
  };
}

export async function signGenesis(body: GenesisBody, signer: WalletSigner): Promise<Genesis> {
  const encoded = bodyToCbor(body);
  const signature = await signer.sign(typedGenesis(body.owner, encoded));
  return decodeGenesis(encodeCbor([encoded, signature]));
}

/**
 * Decodes the block and checks the owner's signature. Throws `format_invalid`, `bad_signature`, `feature_unknown` for rules
 * that this version lacks.
 */
export function decodeGenesis(bytes: Uint8Array): Genesis {
  const [encoded, signature] = asList(decodeCbor(bytes, MAX_GENESIS_BYTES), "the genesis", 2);
  if (encoded === undefined) throw misfit("the genesis", "lacks its body");
  const body = bodyFromCbor(encoded);
  const signer = recoverWallet(
    typedGenesis(body.owner, encoded),
    asBytes(signature, "a signature", WALLET_SIGNATURE_BYTES),
  );
  if (signer !== body.owner) throw new SynclineError("bad_signature", "The genesis is not signed by its owner.");
  return { cid: cidOf("dag-cbor", bytes), bytes, body };
}

const VERSION = 1;
const NONCE_BYTES = 16;
const SALT_BYTES = 32;
const MAX_ID_BYTES = 32;
function typedGenesis(owner: Wallet, body: CborValue): TypedData {
  return {
    domain: SYNCLINE_DOMAIN,
    struct: "Genesis",
    fields: [
      { name: "owner", type: "address", value: walletToBytes(owner) },
      { name: "body", type: "bytes32", value: blake3(encodeCbor(body)) },
    ],
  };
}

function bodyToCbor(body: GenesisBody): CborValue {
  return {
    version: VERSION,
    owner: walletToBytes(body.owner),
    nonce: body.nonce,
    chunker: chunkerToCbor(body.chunker),
    nodes: { id: body.nodes.id, target: body.nodes.targetBytes },
    salt: body.salt,
    inline: body.inlineBytes,
    seal: body.seal,
  };
}

function bodyFromCbor(value: CborValue): GenesisBody {
  const versioned = asMap(value, "the genesis", ["version"], true);
  requireKnown("version", asCount(versioned["version"], "version"), VERSION);
  const map = asMap(value, "the genesis", BODY_KEYS);
  const nodes = asMap(map["nodes"], "nodes", ["id", "target"]);
  const body: GenesisBody = {
    owner: walletFromBytes(asBytes(map["owner"], "owner", WALLET_BYTES)),
    nonce: asBytes(map["nonce"], "nonce", NONCE_BYTES),
    chunker: chunkerFromCbor(map["chunker"]),
    nodes: { id: asText(nodes["id"], "nodes", MAX_ID_BYTES), targetBytes: asNodeTarget(nodes["target"]) },
    salt: asBytes(map["salt"], "salt", SALT_BYTES),
    inlineBytes: asCount(map["inline"], "inline", MAX_INLINE_CONTENT_BYTES),
    seal: asText(map["seal"], "seal", MAX_ID_BYTES),
  };
  requireKnown("nodes", body.nodes.id, NODES_ID);
  requireKnown("seal", body.seal, SEAL_NONE);
  return body;
}

const BODY_KEYS = ["version", "owner", "nonce", "chunker", "nodes", "salt", "inline", "seal"];

function chunkerToCbor({ id, averages, minHole, list }: ChunkerParameters): CborValue {
  return { id, averages: averages.map(({ above, average }) => [above, average]), minHole, list: { ...list } };
}

function chunkerFromCbor(value: CborValue | undefined): ChunkerParameters {
  const { id } = asMap(value, "chunker", ["id"], true);
  requireKnown("chunker", asText(id, "chunker", MAX_ID_BYTES), DEFAULT_CHUNKER.id);
  const map = asMap(value, "chunker", ["id", "averages", "minHole", "list"]);
  const list = asMap(map["list"], "list", ["min", "mean", "max"]);
  return checkChunker({
    id: DEFAULT_CHUNKER.id,
    averages: asList(map["averages"], "averages").map((item) => {
      const [above, average] = asList(item, "averages", 2);
      return { above: asCount(above, "averages"), average: asCount(average, "averages") };
    }),
    minHole: asCount(map["minHole"], "minHole"),
    list: { min: asCount(list["min"], "min"), mean: asCount(list["mean"], "mean"), max: asCount(list["max"], "max") },
  });
}

function asNodeTarget(value: CborValue | undefined): number {
  const target = asCount(value, "nodes", MAX_NODE_TARGET_BYTES);
  if (target < MIN_NODE_TARGET_BYTES) throw misfit("nodes", "have too small a target size");
  return target;
}

function requireKnown<Value>(what: string, value: Value, known: Value): void {
  if (value === known) return;
  throw new SynclineError(
    "feature_unknown",
    `The bucket's ${what} is ${JSON.stringify(value)}, which this version does not support.`,
    { hint: "A newer syncline created this bucket. Upgrade to open it." },
  );
}
