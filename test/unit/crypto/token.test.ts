import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checkToken, signToken } from "../../../src/crypto/token.ts";
import { walletSigner } from "../../../src/crypto/wallet.ts";

interface Vector {
  readonly name: string;
  readonly expect: boolean;
  readonly reason: string | null;
  readonly now: number;
  readonly token: string;
  readonly digest: string;
}

const file = new URL("../../vectors/eip712-tokens.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as { privateKeys: Record<string, string>; tokens: Vector[] };
const [first] = vectors.tokens;
if (first === undefined) throw new Error("the vectors are empty");
const key = Buffer.from(vectors.privateKeys["0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025"] ?? "", "hex");

describe("tokens of other implementations", () => {
  test.each(vectors.tokens)("$name", ({ token, now, reason, digest }) => {
    const check = checkToken(token, now);
    const got = check.kind === "valid" ? Buffer.from(check.digest).toString("hex") : check.fault;
    expect(got).toBe(reason ?? digest);
  });
});

test("a token of ours is identical to one made by other implementations", async () => {
  const { iat, exp } = JSON.parse(Buffer.from(first.token.split(".")[1] ?? "", "base64url").toString()) as {
    iat: number;
    exp: number;
  };
  expect(await signToken(walletSigner(key), iat, exp - iat)).toBe(first.token);
});

test("whitespace and the order of the claims make no difference", () => {
  const [scheme = "", payload = "", signature = ""] = first.token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  const turned = Object.fromEntries(Object.entries(claims).toReversed());
  const text = Buffer.from(`${JSON.stringify(turned, null, 2)}\n`).toString("base64url");
  expect(checkToken(`${scheme}.${text}.${signature}`, first.now).kind).toBe("valid");
});

describe("other spellings of a valid token are refused", () => {
  const [scheme = "", payload = "", signature = ""] = first.token.split(".");
  const spell = (text: string) => Buffer.from(text).toString("base64url");
  const json = Buffer.from(payload, "base64url").toString();
  const highS = () => {
    const bytes = Buffer.from(signature, "base64url");
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const s = order - BigInt(`0x${bytes.toString("hex", 32, 64)}`);
    bytes.write(s.toString(16).padStart(64, "0"), 32, "hex");
    bytes[64] = bytes[64] === 27 ? 28 : 27;
    return bytes.toString("base64url");
  };
  test.each([
    ["padding", `${scheme}.${payload}=.${signature}`],
    ["stray bits after the last byte", `${scheme}.${payload}.${signature.slice(0, -1)}x`],
    ["plain base64", `${scheme}.${payload}.${signature.replaceAll("-", "+").replaceAll("_", "/")}`],
    ["another scheme", `FULA-EIP712.${payload}.${signature}`],
    ["an extra part", `${first.token}.`],
    ["a claim that was not signed", `${scheme}.${spell(json.replace("}", ',"aud":"x"}'))}.${signature}`],
    ["a fractional time", `${scheme}.${spell(json.replace('"exp":1780003600', '"exp":1780003600.5'))}.${signature}`],
    ["a list", `${scheme}.${spell("[]")}.${signature}`],
    ["null", `${scheme}.${spell("null")}.${signature}`],
    ["invalid JSON", `${scheme}.${spell("{")}.${signature}`],
    ["bytes that are not UTF-8", `${scheme}.${Buffer.from([0xff]).toString("base64url")}.${signature}`],
    ["s above half the order", `${scheme}.${payload}.${highS()}`],
    ["a megabyte", `${scheme}.${payload}.${"A".repeat(1 << 20)}`],
    ["a duplicate claim", `${scheme}.${spell(json.replace("}", ',"exp":1780003600}'))}.${signature}`],
    ["a claim in place of another", `${scheme}.${spell(json.replace('"iat"', '"exp"'))}.${signature}`],
    ["a byte order mark", `${scheme}.${spell(`\uFEFF${json}`)}.${signature}`],
    ["an escaped name", `${scheme}.${spell(json.replace("wallet", "\\u0077allet"))}.${signature}`],
    ["a time with an exponent", `${scheme}.${spell(json.replace("1780003600", "178000360e1"))}.${signature}`],
    ["a time with a leading zero", `${scheme}.${spell(json.replace("1780003600", "01780003600"))}.${signature}`],
    ["a time in quotes", `${scheme}.${spell(json.replace("1780003600", '"1780003600"'))}.${signature}`],
    ["nothing", ""],
  ])("%s", (_, token) => {
    expect(checkToken(token, first.now)).toEqual({ kind: "refused", fault: "malformed" });
  });
});
