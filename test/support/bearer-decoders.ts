/** Credentials that strangers send a master, for fuzzing: whole headers, and the payloads inside valid signatures. */
import { createHmac } from "node:crypto";
import { hasCode } from "../../src/base/errors.ts";
import type { Wallet } from "../../src/base/ids.ts";
import { readToken, signToken, TOKEN_SCHEME } from "../../src/crypto/token.ts";
import { parseWallet, type WalletSigner } from "../../src/crypto/wallet.ts";
import { Bearers } from "../../src/master/http/bearers.ts";
import { Refusal } from "../../src/master/http/refusal.ts";
import { Revocations } from "../../src/master/http/revocations.ts";
import { parseSessionKey } from "../../src/master/http/session-key.ts";
import type { Decoder } from "./fuzz.ts";
import { ManualClock } from "./manual-clock.ts";

/** A ManualClock's first time. */
const NOW = 1_700_000_000;
const SECRET = "a secret of thirty-two characters";
const PUBLIC_KEY = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----`;

export async function bearerDecoders(owner: WalletSigner): Promise<Decoder[]> {
  const sessionKey = parseSessionKey(SECRET);
  const bearers = new Bearers({
    allow: new Set<Wallet>([owner.wallet]),
    sessionKey,
    revocations: new Revocations(":memory:", NOW),
    clock: new ManualClock(),
  });
  const session = { sub: owner.wallet, iat: NOW - 5, nbf: NOW - 5, exp: NOW + 600, aud: ["m"], jti: "1" };
  const payloads = [session, { exp: NOW + 0.5, sub: owner.wallet }].map((claims) =>
    Buffer.from(JSON.stringify(claims)),
  );
  const header = Buffer.from(JSON.stringify({ alg: "HS256", typ: "JWT" }));
  const wallet = Buffer.from(JSON.stringify({ wallet: owner.wallet, iat: NOW - 5, exp: NOW + 600 }));
  const token = await signToken(owner, NOW - 5, 600);
  const isRefusal = (error: unknown) => error instanceof Refusal;
  const never = () => false;
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
  return [
    {
      name: "authorization",
      samples: [token, jwt(header, payloads[0] ?? header)].map((each) => Buffer.from(`Bearer ${each}`)),
      refuses: isRefusal,
      decode: async (bytes) => void (await bearers.check(text(bytes))),
    },
    {
      name: "session-payload",
      samples: payloads,
      refuses: never,
      decode: async (bytes) => void (await sessionKey.check(jwt(header, bytes), NOW)),
    },
    {
      name: "session-header",
      samples: [header],
      refuses: never,
      decode: async (bytes) => void (await sessionKey.check(jwt(bytes, payloads[0] ?? bytes), NOW)),
    },
    {
      name: "wallet-payload",
      samples: [wallet],
      refuses: never,
      decode(bytes) {
        const signature = Buffer.alloc(65, 27).toString("base64url");
        const read = readToken(`${TOKEN_SCHEME}.${Buffer.from(bytes).toString("base64url")}.${signature}`, NOW);
        if (read.kind === "refused") return undefined;
        const { iat, exp } = read.claims;
        if (![iat, exp].every(Number.isSafeInteger)) throw new Error("A time that is no number of seconds.");
        return undefined;
      },
    },
    {
      name: "session-key",
      samples: [SECRET, PUBLIC_KEY].map((each) => Buffer.from(each)),
      refuses: (error) => hasCode(error, "config_invalid"),
      decode: (bytes) => void parseSessionKey(text(bytes)),
    },
    {
      name: "wallet-address",
      samples: [Buffer.from(owner.wallet)],
      refuses: (error) => hasCode(error, "bad_address"),
      decode: (bytes) => void parseWallet(text(bytes)),
    },
  ];
}

/** A correctly signed token with any payload. */
function jwt(header: Uint8Array, payload: Uint8Array): string {
  const signed = [header, payload].map((part) => Buffer.from(part).toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}
