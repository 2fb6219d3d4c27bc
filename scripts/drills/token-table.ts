/**
 * Every call of a master with every kind of bearer: a table of statuses. No 5xx, no bytes of others, nothing changed.
 *   node scripts/drills/token-table.ts
 */
import { writeFileSync } from "node:fs";
import { signToken } from "../../src/crypto/token.ts";
import type { TypedField } from "../../src/crypto/typed-data.ts";
import { walletSigner, walletToBytes, type WalletSigner } from "../../src/crypto/wallet.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { car } from "./commits.ts";
import { check, join, master, report, syncline, workspace } from "./lib.ts";

interface Call {
  readonly path: string;
  readonly method?: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answered without a bearer. */
  readonly public?: boolean;
  /** There is no such call. */
  readonly none?: boolean;
}

interface TokenOptions {
  /** In seconds from now. */
  readonly from?: number;
  readonly seconds?: number;
  readonly domain?: string;
}

const SECRET = "nobody else may read this";
const owner = walletSigner(Buffer.alloc(32, 0x42));
const guest = walletSigner(Buffer.alloc(32, 0x07));
const outsider = walletSigner(Buffer.alloc(32, 0x33));
let tokensMade = 0;
const space = workspace("token-table");
const arbiter = await master(space, { args: ["--allow", guest.wallet] });
const url = arbiter.url();
syncline(space, ["init", url]);
// Long enough to be a block of its own.
writeFileSync(join(space.path, "secret"), `${SECRET}\n`.repeat(100));
const { root } = syncline(space, ["put", join(space.path, "secret"), `${url}/secret`, "--json"]).json<{
  root: string;
}>();
const { root: before } = await bucketRoot();
const chunk = cidOf("raw", Buffer.from(`${SECRET}\n`.repeat(100)));

const bearers = {
  valid: () => token(owner),
  none: () => undefined,
  malformed: async () => `${await token(owner)}=`,
  expired: () => token(owner, { from: -1_000, seconds: 500 }),
  future: () => token(owner, { from: 400 }),
  "24h+1s": () => token(owner, { seconds: 24 * 3_600 + 1 }),
  domain: () => token(owner, { domain: "Some Gateway" }),
  revoked: () => revoked((text) => text),
  "v 27→0": () => revoked(respelledV),
  case: () => revoked(respelledWallet),
  guest: () => token(guest),
  outsider: () => token(outsider),
};

const block = Buffer.from("a block of a caller");
const body = car([{ cid: cidOf("raw", block), bytes: block }]);
const json = (value: unknown) => ({ method: "POST", body: JSON.stringify(value) });
const theirs = `/v1/owners/${owner.wallet}/buckets/demo`;
const calls: readonly Call[] = [
  { path: "/fula/capabilities", public: true },
  { path: "/health", public: true },
  // Served at an address of its own only.
  { path: "/metrics", none: true },
  { path: `/v0/block?cid=${cidOf("raw", block)}`, method: "PUT", body: block },
  { path: `/v0/block?cid=${cidOf("raw", block)}`, method: "POST", body: block },
  { path: `/ipfs/${chunk}?format=raw` },
  { path: `/ipfs/${chunk}?format=raw`, method: "HEAD" },
  { path: `/ipfs/${root}?format=car` },
  { path: "/v1/blocks", method: "POST", body },
  { path: "/v1/blocks/have", ...json({ cids: [chunk] }) },
  { path: "/v1/blocks/get", ...json({ cids: [chunk] }) },
  { path: "/v1/buckets" },
  { path: "/v1/buckets/demo/root" },
  { path: "/v1/buckets/demo/root", method: "PUT", body: JSON.stringify({ root }), headers: { "if-none-match": "*" } },
  {
    path: "/v1/buckets/demo/root",
    method: "PUT",
    body: JSON.stringify({ root }),
    headers: { "if-match": `"${root}"` },
  },
  { path: "/v1/buckets/demo/watch" },
  { path: `${theirs}/root` },
  { path: `${theirs}/root`, method: "PUT", body: JSON.stringify({ root }), headers: { "if-match": `"${root}"` } },
  { path: `${theirs}/watch` },
  { path: "/api/v1/storage" },
  { path: "/v1/session/revoke", method: "POST" },
  { path: "/v1/collection", ...json({ dryRun: true }) },
  { path: "/v1/collection" },
  { path: "/v1/buckets/demo/turn", method: "POST" },
  { path: "/v1/buckets/demo/turn", method: "DELETE" },
  { path: `${theirs}/turn`, method: "DELETE" },
  // A master has no call that deletes: whoever asks for one is told so, and nothing goes.
  { path: "/v1/buckets/demo", method: "DELETE", none: true },
  { path: "/v1/buckets/demo/root", method: "DELETE", none: true },
  { path: `/v1/buckets/demo/grants/${guest.wallet}`, method: "DELETE", none: true },
  { path: `${theirs}/root`, method: "DELETE", none: true },
  { path: `/ipfs/${chunk}`, method: "DELETE", none: true },
  { path: "/v1/blocks", method: "DELETE", none: true },
  { path: "/v1/collection", method: "DELETE", none: true },
];

const columns = Object.keys(bearers);
report(["call".padEnd(44), ...columns.map((name) => name.padStart(9))].join(" "));
const wrong: string[] = [];
for (const call of calls) {
  const cells: string[] = [];
  for (const [name, bearer] of Object.entries(bearers)) {
    const { status, text, challenge } = await ask(call, await bearer());
    cells.push(String(status).padStart(9));
    const what = `${call.method ?? "GET"} ${call.path} with ${name}: ${status}`;
    if (status >= 500) wrong.push(what);
    if (call.none) {
      if (status !== 404 && status !== 405) wrong.push(what);
      continue;
    }
    if (name === "valid" || call.public) {
      if (status >= 400 && call.method !== "PUT") wrong.push(what);
      continue;
    }
    const expected = name === "guest" ? undefined : name === "outsider" ? 403 : 401;
    if (expected !== undefined && status !== expected) wrong.push(what);
    if (status === 401 && !challenge) wrong.push(`${what} without WWW-Authenticate`);
    const asked = `${call.path}${call.body ?? ""}`;
    if (text.includes(SECRET) || (!asked.includes(root) && text.includes(root)))
      wrong.push(`${what} tells what is not theirs`);
  }
  const shown = `${call.method ?? "GET"} ${call.path
    .replace(/\?.*/, "")
    .replace(owner.wallet, "{wallet}")
    .replace(/baf\w+/, "{cid}")}`;
  const on = call.headers === undefined ? "" : ` ${Object.keys(call.headers)[0]}`;
  report([`${shown}${on}`.padEnd(44), ...cells].join(" "));
}
for (const line of wrong) report(line);
check(
  wrong.length === 0,
  `${calls.length} calls × ${columns.length} bearers: no 5xx, 401 and 403 where they belong, no bytes of others`,
);
const after = await bucketRoot();
const kept = await ask({ path: `/ipfs/${chunk}?format=raw` }, await token(owner));
check(kept.status === 200 && kept.text.includes(SECRET), "no block is gone");
check(after.root === before && after.version === 2, "the bucket is as it was");

async function bucketRoot(): Promise<{ root: string; version: number }> {
  const { text } = await ask({ path: "/v1/buckets/demo/root" }, await token(owner));
  return JSON.parse(text) as { root: string; version: number };
}

async function ask({ path, method = "GET", body, headers = {} }: Call, bearer: string | undefined) {
  const cut = new AbortController();
  const response = await fetch(arbiter.origin + path, {
    method,
    body: body ?? null,
    headers: { ...headers, ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }) },
    redirect: "error",
    signal: cut.signal,
  });
  const endless = response.headers.get("content-type") === "text/event-stream";
  const text = endless ? await firstPiece(response) : Buffer.from(await response.arrayBuffer()).toString("latin1");
  cut.abort();
  return { status: response.status, text, challenge: response.headers.has("www-authenticate") };
}

async function firstPiece({ body }: Response): Promise<string> {
  if (body === null) throw new Error("an answer without a body");
  const { value } = await body.getReader().read();
  return Buffer.from(value ?? []).toString("latin1");
}

/** Each token is another one: revoking one must not touch the others. */
async function token(
  signer: WalletSigner,
  { from = 0, seconds, domain = "Fula Gateway" }: TokenOptions = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1_000) + from;
  const lifetime = seconds ?? 600 + ++tokensMade;
  if (lifetime <= 24 * 3_600 && domain === "Fula Gateway") return signToken(signer, now, lifetime);
  const claims = { wallet: signer.wallet, iat: now, exp: now + lifetime };
  const fields: TypedField[] = [
    { name: "wallet", type: "address", value: walletToBytes(claims.wallet) },
    { name: "iat", type: "uint256", value: claims.iat },
    { name: "exp", type: "uint256", value: claims.exp },
  ];
  const signature = await signer.sign({ domain: { name: domain, version: "1" }, struct: "FulaAuth", fields });
  return `fula-eip712.${base64(JSON.stringify(claims))}.${base64(signature)}`;
}

async function revoked(respell: (text: string) => string): Promise<string> {
  const text = await token(owner);
  const { status } = await ask({ path: "/v1/session/revoke", method: "POST" }, text);
  if (status !== 200) throw new Error(`revoking answers ${status}`);
  return respell(text);
}

function respelledV(text: string): string {
  const [scheme, payload, signature = ""] = text.split(".");
  const bytes = Buffer.from(signature, "base64url");
  bytes[64] = (bytes[64] ?? 0) - 27;
  return `${scheme}.${payload}.${base64(bytes)}`;
}

function respelledWallet(text: string): string {
  const [scheme, payload = "", signature] = text.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as { wallet: string };
  return `${scheme}.${base64(JSON.stringify({ ...claims, wallet: `0x${claims.wallet.slice(2).toUpperCase()}` }))}.${signature}`;
}

function base64(value: string | Uint8Array): string {
  return Buffer.from(value).toString("base64url");
}
