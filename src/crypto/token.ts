/**
 * Wallet tokens: bearers that any master verifies offline, `fula-eip712.<payload>.<signature>`, both parts base64url without
 * padding. The payload is JSON {"wallet","iat","exp"}; the signature is over FulaAuth(address wallet,uint256 iat,uint256 exp).
 *
 * The format has no audience, so callers make one token per master's origin, short-lived, and send it over TLS only.
 */
import { SynclineError } from "../base/errors.ts";
import type { Wallet } from "../base/ids.ts";
import { type TypedData, typedDataDigest } from "./typed-data.ts";
import { parseWallet, recoverFromDigest, WALLET_SIGNATURE_BYTES, type WalletSigner, walletToBytes } from "./wallet.ts";

export interface TokenClaims {
  /** Lower case, however the payload spells it. */
  readonly wallet: Wallet;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly exp: number;
}

export type TokenFault = "malformed" | "expired" | "not yet valid" | "lifetime too long" | "signer is not the wallet";

/** A token with currently valid claims and an unverified signature. */
export interface TokenPromise {
  readonly kind: "unverified";
  readonly claims: TokenClaims;
  readonly signature: Uint8Array;
}

/** The result of a check. `digest` identifies the token in revocations, whatever the encoding of its claims. */
export type TokenCheck =
  | { readonly kind: "valid"; readonly claims: TokenClaims; readonly digest: Uint8Array }
  | TokenRefusal;

export interface TokenRefusal {
  readonly kind: "refused";
  readonly fault: TokenFault;
}

export const TOKEN_SCHEME = "fula-eip712";
export const MAX_TOKEN_SECONDS = 24 * 3600;
/** How far an issuer's clock may be ahead of ours. */
export const MAX_TOKEN_SKEW_SECONDS = 300;
export const DEFAULT_TOKEN_SECONDS = 600;

/** A token valid from `now`, in seconds since 1970. Throws `usage` for a lifetime that masters refuse. */
export async function signToken(
  signer: WalletSigner,
  now: number,
  seconds: number = DEFAULT_TOKEN_SECONDS,
): Promise<string> {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_TOKEN_SECONDS) {
    throw new SynclineError("usage", `A token's lifetime must be 1 to ${MAX_TOKEN_SECONDS} seconds.`);
  }
  const claims: TokenClaims = { wallet: signer.wallet, iat: now, exp: now + seconds };
  const payload = Buffer.from(JSON.stringify({ wallet: claims.wallet, iat: claims.iat, exp: claims.exp }));
  const signature = Buffer.from(await signer.sign(typedClaims(claims)));
  return `${TOKEN_SCHEME}.${payload.toString("base64url")}.${signature.toString("base64url")}`;
}

/** Verifies at `now`, in seconds since 1970. Never throws: input from a network is either valid or refused. */
export function checkToken(token: string, now: number): TokenCheck {
  const read = readToken(token, now);
  return read.kind === "refused" ? read : verifyToken(read);
}

/** Checks all but the signature, which takes a hundred times as long. Never throws. */
export function readToken(token: string, now: number): TokenPromise | TokenRefusal {
  const parsed = parseToken(token);
  if (parsed === undefined) return refused("malformed");
  const { claims, signature } = parsed;
  if (claims.exp <= now) return refused("expired");
  if (claims.iat > now + MAX_TOKEN_SKEW_SECONDS) return refused("not yet valid");
  if (claims.exp - claims.iat > MAX_TOKEN_SECONDS) return refused("lifetime too long");
  return { kind: "unverified", claims, signature };
}

/** Never throws. */
export function verifyToken({ claims, signature }: TokenPromise): TokenCheck {
  const digest = typedDataDigest(typedClaims(claims));
  try {
    if (recoverFromDigest(digest, signature) !== claims.wallet) return refused("signer is not the wallet");
  } catch {
    return refused("malformed");
  }
  return { kind: "valid", claims, digest };
}

const MAX_TOKEN_CHARS = 1024;
const TOKEN_DOMAIN = { name: "Fula Gateway", version: "1" } as const;

function typedClaims(claims: TokenClaims): TypedData {
  return {
    domain: TOKEN_DOMAIN,
    struct: "FulaAuth",
    fields: [
      { name: "wallet", type: "address", value: walletToBytes(claims.wallet) },
      { name: "iat", type: "uint256", value: claims.iat },
      { name: "exp", type: "uint256", value: claims.exp },
    ],
  };
}

function parseToken(token: string): { claims: TokenClaims; signature: Uint8Array } | undefined {
  const parts = token.length <= MAX_TOKEN_CHARS ? token.split(".") : [];
  const [scheme, payloadText = "", signatureText = ""] = parts;
  if (parts.length !== 3 || scheme !== TOKEN_SCHEME) return undefined;
  const payload = decodeBase64url(payloadText);
  const signature = decodeBase64url(signatureText);
  const claims = payload === undefined ? undefined : parseClaims(payload);
  if (claims === undefined || signature?.length !== WALLET_SIGNATURE_BYTES) return undefined;
  // Wallets encode v as 27 and 28, some libraries as 0 and 1.
  const v = signature[64] ?? 0;
  signature[64] = v < 2 ? v + 27 : v;
  return { claims, signature };
}

/** Undefined unless the text is the canonical encoding of its bytes. */
function decodeBase64url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? new Uint8Array(bytes) : undefined;
}

/**
 * Uses its own grammar instead of JSON.parse: rejects anything that two parsers could read differently (duplicate members,
 * escapes, a byte order mark, 1e9).
 */
function parseClaims(payload: Uint8Array): TokenClaims | undefined {
  const [, ...parts] = PAYLOAD.exec(Buffer.from(payload).toString("latin1")) ?? [];
  const members = new Map([0, 2, 4].map((at) => [parts[at], parts[at + 1] ?? ""]));
  const wallet = /^"(.*)"$/.exec(members.get("wallet") ?? "")?.[1];
  const [iat, exp] = [secondsIn(members.get("iat")), secondsIn(members.get("exp"))];
  if (wallet === undefined || iat === undefined || exp === undefined || iat >= exp) return undefined;
  return { wallet: parseWallet(wallet), iat, exp };
}

const MEMBER = String.raw`\s*"(wallet|iat|exp)"\s*:\s*("0x[0-9a-fA-F]{40}"|0|[1-9][0-9]*)\s*`.replaceAll(
  String.raw`\s`,
  String.raw`[ \t\r\n]`,
);
const PAYLOAD = new RegExp(`^[ \\t\\r\\n]*\\{${MEMBER},${MEMBER},${MEMBER}\\}[ \\t\\r\\n]*$`);

function secondsIn(text: string | undefined): number | undefined {
  const number = text === undefined || text.startsWith('"') ? NaN : Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

function refused(fault: TokenFault): TokenRefusal {
  return { kind: "refused", fault };
}
