/** Who may call a master: every call against every kind of bearer, other implementations' tokens, session tokens, revocation. */
import { createHmac, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { systemClock, type Clock } from "../../../../src/base/clock.ts";
import type { Log, LogFields } from "../../../../src/base/log.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { signToken } from "../../../../src/crypto/token.ts";
import { walletToBytes, type WalletSigner } from "../../../../src/crypto/wallet.ts";
import { parseSessionKey } from "../../../../src/master/http/session-key.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { carOf } from "../../../support/car.ts";
import { alice, bob, startTestMaster, stranger, type TestMaster } from "../../../support/test-master.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const NOW = 1_780_000_000;
const HAS_NO_BODY = new Set(["GET", "HEAD", "DELETE"]);
let nowSeconds = NOW;
const clock: Clock = { ...systemClock, nowNs: () => BigInt(nowSeconds) * 1_000_000_000n };
afterEach(() => void (nowSeconds = NOW));

/** fetch refuses headers that a hostile client sends. */
async function call(
  master: TestMaster,
  method: string,
  path: string,
  bearer: string | undefined,
  body?: Uint8Array | string,
) {
  const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  return new Promise<{ status: number; code: unknown; body: string; challenge: string | undefined }>(
    (resolve, reject) => {
      const sent = request(master.origin + path, { method, headers }, (response) => {
        text(response).then((body) => {
          const json = body.startsWith("{") ? (JSON.parse(body) as { code?: unknown }) : {};
          return resolve({
            status: response.statusCode ?? 0,
            code: json.code,
            body,
            challenge: response.headers["www-authenticate"],
          });
        }, reject);
      });
      sent.on("error", reject).end(body);
    },
  );
}

async function tokenWith(
  signer: WalletSigner,
  claims: { iat: number; exp: number },
  domain = "Fula Gateway",
): Promise<string> {
  const signature = await signer.sign({
    domain: { name: domain, version: "1" },
    struct: "FulaAuth",
    fields: [
      { name: "wallet", type: "address", value: walletToBytes(signer.wallet) },
      { name: "iat", type: "uint256", value: claims.iat },
      { name: "exp", type: "uint256", value: claims.exp },
    ],
  });
  const payload = Buffer.from(JSON.stringify({ wallet: signer.wallet, ...claims })).toString("base64url");
  return `fula-eip712.${payload}.${Buffer.from(signature).toString("base64url")}`;
}

/** The same signature with v 27 spelled 0, and 28 spelled 1. */
function respelled(token: string): string {
  const [scheme = "", payload = "", signature = ""] = token.split(".");
  const bytes = Buffer.from(signature, "base64url");
  bytes[64] = (bytes[64] ?? 0) - 27;
  return [scheme, payload, bytes.toString("base64url")].join(".");
}

describe("every call", () => {
  const secret = Buffer.from("what only alice may see");
  const cid = cidOf("raw", secret);
  const car = carOf({ cid, bytes: secret });
  let master: TestMaster;
  let revoked: string;
  let logged = "";
  const collect = (message: string, fields?: LogFields) => void (logged += `${message} ${JSON.stringify(fields)}\n`);
  const log: Log = { info: collect, warn: collect, error: collect };
  beforeAll(async () => {
    master = await startTestMaster({ clock, log });
    const good = await signToken(alice, NOW, 600);
    revoked = await signToken(alice, NOW, 601);
    await call(master, "POST", "/v1/blocks", good, car);
    await call(master, "POST", "/v1/session/revoke", revoked);
  });
  afterAll(() => master.stop());

  const faults: [string, () => Promise<string | undefined>, number, string][] = [
    ["no token", async () => undefined, 401, "bearer_missing"],
    ["an empty one", async () => "", 401, "bearer_missing"],
    ["noise", async () => "x".repeat(5000), 401, "token_malformed"],
    ["a malformed one", async () => `${await signToken(alice, NOW)}=`, 401, "token_malformed"],
    [
      "a JWT",
      async () => `${base64({ alg: "none" })}.${base64({ sub: alice.wallet, exp: NOW + 60 })}.`,
      401,
      "token_malformed",
    ],
    ["an expired one", async () => tokenWith(alice, { iat: NOW - 60, exp: NOW }), 401, "token_expired"],
    ["one of the future", async () => tokenWith(alice, { iat: NOW + 301, exp: NOW + 400 }), 401, "token_early"],
    ["one of 24 h and 1 s", async () => tokenWith(alice, { iat: NOW, exp: NOW + 86_401 }), 401, "token_too_long"],
    [
      "one of another domain",
      async () => tokenWith(alice, { iat: NOW, exp: NOW + 60 }, "Other Gateway"),
      401,
      "token_foreign",
    ],
    ["a revoked one", async () => revoked, 401, "token_revoked"],
    ["a revoked one, spelled otherwise", async () => respelled(revoked), 401, "token_revoked"],
    ["a stranger's", async () => signToken(stranger, NOW), 403, "wallet_not_allowed"],
  ];

  test.each(faults)("with %s is refused", async (_, bearer, status, code) => {
    const text = await bearer();
    const forBearers = master.routes.filter(({ access }) => access === "bearer");
    expect(forBearers.length).toBeGreaterThan(10);
    for (const { method, path } of forBearers) {
      const target = path
        .replace("{cid}", `${cid}?format=raw`)
        .replace("{bucket}", "b")
        .replace("{wallet}", alice.wallet);
      const answer = await call(master, method, target, text, HAS_NO_BODY.has(method) ? undefined : car);
      expect(answer, `${method} ${path}`).toMatchObject({ status, code });
      expect(answer.challenge?.startsWith("Bearer") ?? false, `${method} ${path}`).toBe(status === 401);
      expect(answer.body).not.toContain(secret.toString());
      expect(answer.body).not.toContain(text?.slice(-40) || secret.toString());
      expect(logged).toContain(`${method} ${path} ${status}`);
      expect(logged).not.toContain(text?.slice(-40) || secret.toString());
    }
  });

  test.each([...faults, ["a valid one", () => signToken(alice, NOW, 602), 0, ""] as const])(
    "that would delete stored data does not exist and changes nothing, with %s",
    async (_, bearer) => {
      const text = await bearer();
      const paths = new Set([...master.routes.map(({ path }) => path), "/v1/buckets/{bucket}", "/v1/blocks/{cid}"]);
      // A place in a line can be given back; nothing of it is stored.
      for (const { path } of master.routes.filter(({ method }) => method === "DELETE")) {
        expect(path).toMatch(/\/turn$/);
        paths.delete(path);
      }
      for (const path of paths) {
        const target = path.replace("{cid}", cid).replace("{bucket}", "b").replace("{wallet}", alice.wallet);
        const answer = await call(master, "DELETE", target, text);
        expect([404, 405], `DELETE ${path}`).toContain(answer.status);
        expect(["no_such_call", "method_not_allowed"], `DELETE ${path}`).toContain(answer.code);
        expect(answer.body).not.toContain(text?.slice(-40) || secret.toString());
      }
      const own = await call(master, "GET", `/ipfs/${cid}?format=raw`, await signToken(alice, NOW));
      expect(own).toMatchObject({ status: 200, body: secret.toString() });
    },
  );

  test("with another wallet shows none of the owner's data", async () => {
    const own = await call(master, "GET", `/ipfs/${cid}?format=raw`, await signToken(alice, NOW));
    expect(own).toMatchObject({ status: 200, body: secret.toString() });
    const bearer = await signToken(bob, NOW);
    expect(await call(master, "GET", `/ipfs/${cid}?format=raw`, bearer)).toMatchObject({ code: "block_not_found" });
    expect(await call(master, "GET", `/ipfs/${cid}?format=car`, bearer)).toMatchObject({ code: "block_not_found" });
    const missing = await call(master, "POST", "/v1/blocks/have", bearer, JSON.stringify({ cids: [cid] }));
    expect(JSON.parse(missing.body)).toEqual({ missing: [cid] });
    const got = await call(master, "POST", "/v1/blocks/get", bearer, JSON.stringify({ cids: [cid] }));
    expect(got.body).not.toContain(secret.toString());
    expect(JSON.parse((await call(master, "GET", "/api/v1/storage", bearer)).body)).toMatchObject({ usedBytes: 0 });
    for (const method of ["GET", "PUT"]) {
      const answer = await call(master, method, `/v1/owners/${alice.wallet}/buckets/b/root`, bearer);
      expect(answer).toMatchObject({ status: 403, code: "no_grant" });
    }
  });

  test("a token is valid until it expires, however often it is used", async () => {
    const bearer = await signToken(alice, NOW, 10);
    expect(await call(master, "GET", "/api/v1/storage", bearer)).toMatchObject({ status: 200 });
    nowSeconds = NOW + 9;
    expect(await call(master, "GET", "/api/v1/storage", bearer)).toMatchObject({ status: 200 });
    nowSeconds = NOW + 10;
    expect(await call(master, "GET", "/api/v1/storage", bearer)).toMatchObject({ status: 401, code: "token_expired" });
  });
});

describe("tokens from other implementations", () => {
  const file = new URL("../../../vectors/eip712-tokens.json", import.meta.url);
  const { tokens } = JSON.parse(readFileSync(file, "utf8")) as {
    tokens: { name: string; now: number; token: string; expect: boolean; reason: string | null }[];
  };
  const codes: Record<string, string> = {
    malformed: "token_malformed",
    expired: "token_expired",
    "not yet valid": "token_early",
    "lifetime too long": "token_too_long",
    "signer is not the wallet": "token_foreign",
  };
  let master: TestMaster;
  beforeAll(async () => void (master = await startTestMaster({ clock })));
  afterAll(() => master.stop());

  test.each(tokens)("$name", async ({ token, now, expect: good, reason }) => {
    nowSeconds = now;
    const answer = await call(master, "GET", "/api/v1/storage", token);
    expect(answer).toMatchObject(good ? { status: 200 } : { status: 401, code: codes[reason ?? ""] });
  });
});

function base64(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

describe("session tokens", () => {
  const ed = generateKeyPairSync("ed25519");
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const secret = "a secret that has enough characters";
  const claims = { sub: alice.wallet, iat: NOW, exp: NOW + 60 };
  const pem = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();
  const hs256 = (payload: object, key: string, header: object = { alg: "HS256" }) => {
    const input = `${base64(header)}.${base64(payload)}`;
    return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
  };
  const signed = (payload: object, alg: "EdDSA" | "ES256", key: KeyObject) => {
    const input = `${base64({ alg })}.${base64(payload)}`;
    const bytes = Buffer.from(input);
    const signature =
      alg === "EdDSA" ? sign(null, bytes, key) : sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" });
    return `${input}.${signature.toString("base64url")}`;
  };
  const answerTo = async (keyFile: string, token: string) => {
    const master = await startTestMaster({ clock, sessionKey: parseSessionKey(keyFile) });
    try {
      return await call(master, "GET", "/api/v1/storage", token);
    } finally {
      await master.stop();
    }
  };

  test.each([
    ["HS256", secret, () => hs256(claims, secret)],
    ["Ed25519", pem(ed.publicKey), () => signed(claims, "EdDSA", ed.privateKey)],
    ["P-256", pem(ec.publicKey), () => signed(claims, "ES256", ec.privateKey)],
    [
      "an uppercase wallet",
      secret,
      () => hs256({ ...claims, sub: alice.wallet.toUpperCase().replace("0X", "0x") }, secret),
    ],
  ])("%s", async (_, key, token) => {
    expect(await answerTo(key, token())).toMatchObject({ status: 200 });
  });

  test.each([
    ["another key", secret, () => hs256(claims, "another secret that has characters"), 401, "token_foreign"],
    [
      "the public key used as an HMAC secret",
      pem(ed.publicKey),
      () => hs256(claims, pem(ed.publicKey).trim()),
      401,
      "token_malformed",
    ],
    ["no algorithm", secret, () => `${base64({ alg: "none" })}.${base64(claims)}.`, 401, "token_malformed"],
    [
      "an algorithm other than the key's",
      pem(ed.publicKey),
      () => signed(claims, "ES256", ec.privateKey),
      401,
      "token_malformed",
    ],
    ["no expiry", secret, () => hs256({ sub: alice.wallet }, secret), 401, "token_malformed"],
    [
      "an expiry that is not a number",
      secret,
      () => hs256({ ...claims, exp: "never" }, secret),
      401,
      "token_malformed",
    ],
    ["an expiry that has been reached", secret, () => hs256({ ...claims, exp: NOW }, secret), 401, "token_expired"],
    ["a start in the future", secret, () => hs256({ ...claims, nbf: NOW + 1 }, secret), 401, "token_early"],
    [
      "an issue time too far ahead",
      secret,
      () => hs256({ ...claims, iat: NOW + 301, exp: NOW + 900 }, secret),
      401,
      "token_early",
    ],
    [
      "a subject that is not a wallet",
      secret,
      () => hs256({ ...claims, sub: "alice" }, secret),
      401,
      "token_malformed",
    ],
    [
      "a stranger's wallet",
      secret,
      () => hs256({ ...claims, sub: stranger.wallet }, secret),
      403,
      "wallet_not_allowed",
    ],
    [
      "an unknown critical header",
      secret,
      () => hs256(claims, secret, { alg: "HS256", crit: ["x"], x: 1 }),
      401,
      "token_malformed",
    ],
  ])("refused: %s", async (_, key, token, status, code) => {
    expect(await answerTo(key, token())).toMatchObject({ status, code });
  });

  test.each([
    ["short"],
    [ed.privateKey.export({ type: "pkcs8", format: "pem" }).toString()],
    ["-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"],
  ])("an unusable key file is refused: %#", (text) => {
    expect(() => parseSessionKey(text)).toThrow(expect.objectContaining({ code: "config_invalid" }));
  });

  test.each([NOW + 60.5, 1e300])("that expire at %d can be revoked for good", async (exp) => {
    const options = { clock, sessionKey: parseSessionKey(secret), data: await temporaryFolder() };
    const token = hs256({ ...claims, exp }, secret);
    const first = await startTestMaster(options);
    expect(await call(first, "POST", "/v1/session/revoke", token)).toMatchObject({ status: 200 });
    await first.stop();
    const second = await startTestMaster(options);
    expect(await call(second, "GET", "/api/v1/storage", token)).toMatchObject({ code: "token_revoked" });
    await second.stop();
  });

  test("revoking a P-256 token also revokes the other valid form of its signature", async () => {
    const master = await startTestMaster({ clock, sessionKey: parseSessionKey(pem(ec.publicKey)) });
    const token = signed(claims, "ES256", ec.privateKey);
    const [header = "", payload = "", signature = ""] = token.split(".");
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const bytes = Buffer.from(signature, "base64url");
    bytes.write((order - BigInt(`0x${bytes.toString("hex", 32)}`)).toString(16).padStart(64, "0"), 32, "hex");
    const other = [header, payload, bytes.toString("base64url")].join(".");
    expect(await call(master, "GET", "/api/v1/storage", other)).toMatchObject({ status: 200 });
    expect(await call(master, "POST", "/v1/session/revoke", token)).toMatchObject({ status: 200 });
    for (const spelling of [token, other]) {
      expect(await call(master, "GET", "/api/v1/storage", spelling)).toMatchObject({ code: "token_revoked" });
    }
    await master.stop();
  });
});

/** Has the table of revoked tokens take no more rows, until it is disposed. */
function fillTable(data: string): Disposable {
  const db = systemDatabases.open(join(data, "auth.db"));
  db.exec("CREATE TRIGGER full BEFORE INSERT ON revoked BEGIN SELECT raise(ABORT, 'full'); END");
  return {
    [Symbol.dispose]() {
      db.exec("DROP TRIGGER full");
      db.close();
    },
  };
}

describe("a revocation", () => {
  test("survives a restart, for every form of the signature", async () => {
    const data = await temporaryFolder();
    const token = await signToken(alice, NOW, 600);
    const first = await startTestMaster({ clock, data });
    expect(await call(first, "POST", "/v1/session/revoke", respelled(token))).toMatchObject({ status: 200 });
    await first.stop();
    const second = await startTestMaster({ clock, data });
    for (const spelling of [token, respelled(token)]) {
      expect(await call(second, "GET", "/api/v1/storage", spelling)).toMatchObject({ code: "token_revoked" });
    }
    await second.stop();
  });

  test("that could not be written can be repeated, and its token is good for nothing else", async () => {
    const data = await temporaryFolder();
    const [lost, own] = [await signToken(alice, NOW, 600), await signToken(alice, NOW, 601)];
    const master = await startTestMaster({ clock, data });
    const revoke = (bearer: string, body = "") => call(master, "POST", "/v1/session/revoke", bearer, body);
    const full = fillTable(data);
    expect((await revoke(own, JSON.stringify({ token: lost }))).status).toBeGreaterThanOrEqual(500);
    expect((await revoke(own)).status).toBeGreaterThanOrEqual(500);
    for (const token of [lost, own]) {
      expect(await call(master, "GET", "/api/v1/storage", token)).toMatchObject({ code: "token_revoked" });
    }
    full[Symbol.dispose]();
    const other = JSON.stringify({ token: await signToken(alice, NOW, 602) });
    expect(await revoke(own, other)).toMatchObject({ code: "token_revoked" });
    const valid = await signToken(alice, NOW, 603);
    expect(await revoke(valid, JSON.stringify({ token: lost }))).toMatchObject({ status: 200 });
    expect(await revoke(own)).toMatchObject({ status: 200 });
    expect(await revoke(own)).toMatchObject({ code: "token_revoked" });
    await master.stop();
    const again = await startTestMaster({ clock, data });
    for (const token of [lost, own]) {
      expect(await call(again, "GET", "/api/v1/storage", token)).toMatchObject({ code: "token_revoked" });
    }
    await again.stop();
  });

  test("accepts another token of the same wallet, and refuses other wallets' tokens", async () => {
    const master = await startTestMaster({ clock });
    const mine = await signToken(alice, NOW, 600);
    const lost = await signToken(alice, NOW, 700);
    const others = await signToken(bob, NOW, 600);
    const revoke = async (token: unknown) =>
      call(master, "POST", "/v1/session/revoke", mine, JSON.stringify({ token }));
    expect(await revoke(others)).toMatchObject({ status: 403, code: "no_grant" });
    // Not even its signature is checked.
    const unsigned = others.replace(/[^.]*$/, Buffer.alloc(65, 27).toString("base64url"));
    expect(await revoke(unsigned)).toMatchObject({ status: 403, code: "no_grant" });
    expect(await revoke(7)).toMatchObject({ status: 400 });
    expect(await revoke(lost)).toMatchObject({ status: 200 });
    expect(await call(master, "GET", "/api/v1/storage", lost)).toMatchObject({ code: "token_revoked" });
    expect(await call(master, "GET", "/api/v1/storage", mine)).toMatchObject({ status: 200 });
    expect(await call(master, "GET", "/api/v1/storage", others)).toMatchObject({ status: 200 });
    await master.stop();
  });
});
