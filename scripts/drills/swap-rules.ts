/**
 * What a master accepts as a bucket's next root, and what it says to everything else: each rule once, against a master process.
 *   node scripts/drills/swap-rules.ts
 */
import type { Cid, Lamport } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { signToken } from "../../src/crypto/token.ts";
import { walletSigner, type WalletSigner } from "../../src/crypto/wallet.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../../src/format/blocks/dag-cbor.ts";
import type { CommitBody } from "../../src/format/commits/commit-body.ts";
import type { Genesis } from "../../src/format/commits/genesis.ts";
import { block, car, type Certified, certify, createChain } from "./commits.ts";
import { check, master, report, workspace } from "./lib.ts";

interface Answer {
  readonly status: number;
  readonly json: { readonly code?: string; readonly message?: string; readonly missing?: readonly string[] };
}

/** What is changed about a commit. */
interface Change extends Partial<Omit<CommitBody, "genesis">> {
  readonly genesis?: Genesis;
}

/** What has blocks, and what can be a root. */
interface Stored {
  readonly blocks: readonly Block[];
}
interface Rooted {
  readonly commit: { readonly cid: Cid };
}

const owner = walletSigner(Buffer.alloc(32, 0x42));
const stranger = walletSigner(Buffer.alloc(32, 0x07));
const space = workspace("swap-rules");
const arbiter = await master(space, { args: ["--allow", stranger.wallet] });
const now = Math.floor(Date.now() / 1_000);
const bearers = new Map<WalletSigner, string>();
for (const one of [owner, stranger]) bearers.set(one, await signToken(one, now));

const chain = await createChain(owner);
const first = chain.make("first", undefined);
const second = chain.make("second", first);
const third = chain.make("third", second);
const ifCurrent = ({ commit }: Rooted) => ({ "if-match": `"${commit.cid}"` });
const create = { "if-none-match": "*" };

await store(first);
await expect("the first commit", 200, await swap(first, create));
await store(second, ({ cid }) => cid !== second.chunk.cid);
const lacking = await swap(second, ifCurrent(first));
await expect("a root that lacks a block", 409, lacking, "missing_blocks");
check(
  JSON.stringify(lacking.json.missing) === JSON.stringify([second.chunk.cid]),
  `it is named: ${lacking.json.missing}`,
);
await store({ blocks: [second.chunk] }, () => true, stranger);
await expect("a root whose block only another wallet has", 409, await swap(second, ifCurrent(first)), "missing_blocks");
await store(second);
await expect("a swap without a condition", 428, await swap(second, {}), "condition_missing");
await expect("creating what is there already", 412, await swap(second, create), "conflict");
const rival = chain.make("rival", first);
await store(rival);
const raced = await Promise.all([swap(second, ifCurrent(first)), swap(rival, ifCurrent(first))]);
const statuses = raced.map(({ status }) => status).sort();
check(statuses.join() === "200,412", `two swaps from one root: ${statuses.join(" and ")}`);
const [winner, loser] = raced[0].status === 200 ? [second, rival] : [rival, second];
await expect("an old root with the right If-Match", 409, await swap(first, ifCurrent(winner)), "not_descendant");
await expect(
  "the root that lost, with the right If-Match",
  409,
  await swap(loser, ifCurrent(winner)),
  "not_descendant",
);

await refused(
  "a device that a stranger certified",
  403,
  "device_not_certified",
  {},
  await certify(chain.genesis, stranger),
);
await refused(
  "a device whose certificate has ended",
  403,
  "device_not_certified",
  {},
  await certify(chain.genesis, owner, now),
);
await refused("another genesis", 409, "foreign_genesis", { genesis: (await createChain(owner)).genesis });
await refused("seq + 2", 409, "bad_seq", { seq: 4 as Lamport, skip: undefined });
await forged();
const theirs = (await createChain(stranger)).make("theirs", undefined);
await store(theirs);
await expect("a bucket with another wallet's genesis", 409, await swap(theirs, create, "other"), "foreign_genesis");
await expect("what is no commit", 400, await swap({ commit: second.chunk }, ifCurrent(winner)), "format_invalid");
const next = winner === second ? third : chain.make("next", winner);
await store(next);
await expect("the next commit", 200, await swap(next, ifCurrent(winner)));

async function refused(
  what: string,
  status: number,
  code: string,
  { genesis, ...change }: Change,
  signer?: Certified,
): Promise<void> {
  const made = chain.make(what, winner, genesis === undefined ? change : { genesis: genesis.cid }, signer);
  await store({ blocks: [...made.blocks, ...(genesis === undefined ? [] : [genesis])] });
  await expect(what, status, await swap(made, ifCurrent(winner)), code);
}

/** A commit whose signature has one bit changed. */
async function forged(): Promise<void> {
  const made = chain.make("forged", winner);
  const [version, body, certificate, signature] = decodeCbor(made.commit.bytes) as [
    CborValue,
    CborValue,
    CborValue,
    Uint8Array,
  ];
  const changed = Uint8Array.from(signature, (byte, at) => (at === 3 ? byte ^ 1 : byte));
  const commit = block("dag-cbor", encodeCbor([version, body, certificate, changed]));
  await store({ blocks: [...made.blocks, commit] });
  await expect("a forged signature", 403, await swap({ commit }, ifCurrent(winner)), "bad_signature");
}

async function expect(what: string, status: number, answer: Answer, code?: string): Promise<void> {
  const told = `${answer.status}${answer.json.code === undefined ? "" : ` ${answer.json.code}`}`;
  check(answer.status === status && answer.json.code === code, `${what}: ${told}`);
  if (answer.json.message !== undefined) report(`        ${answer.json.message}`);
}

async function store({ blocks }: Stored, wanted: (block: Block) => boolean = () => true, as = owner): Promise<void> {
  const { status } = await call("POST", "/v1/blocks", car(blocks.filter(wanted)), {}, as);
  if (status !== 200) throw new Error(`storing answers ${status}`);
}

function swap({ commit }: Rooted, condition: Readonly<Record<string, string>>, bucket = "demo"): Promise<Answer> {
  return call("PUT", `/v1/buckets/${bucket}/root`, JSON.stringify({ root: commit.cid }), condition, owner);
}

async function call(
  method: string,
  path: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>>,
  as: WalletSigner,
): Promise<Answer> {
  const authorization = `Bearer ${bearers.get(as)}`;
  const response = await fetch(arbiter.origin + path, { method, body, headers: { ...headers, authorization } });
  return { status: response.status, json: (await response.json()) as Answer["json"] };
}
