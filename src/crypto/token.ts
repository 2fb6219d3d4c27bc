/**
 * Wallet tokens: bearers that any master verifies offline, `fula-eip712.<payload>.<signature>`, both parts base64url without
 * padding. The payload is JSON {"wallet","iat","exp"}; the signature is over FulaAuth(address wallet,uint256 iat,uint256 exp).
 *
 * The format has no audience, so callers make one token per master's origin, short-lived, and send it over TLS only.
 */
import { SynclineError } from "../base/errors.ts";
import type { Wallet } from "../base/ids.ts";
import { typedDataDigest } from "./typed-data.ts";
import type { TypedData } from "./typed-data.ts";
import type { WalletSigner } from "./wallet.ts";
import { parseWallet, recoverFromDigest, WALLET_SIGNATURE_BYTES, walletToBytes } from "./wallet.ts";

export interface TokenClaims {
  /** Lower case, whatever the payload spells. */
  readonly wallet: Wallet;
  /** Seconds since 1970. */
  readonly iat: number;
  readonly exp: number;
}

export type TokenFault = "malformed" | "expired" | "not yet valid" | "lifetime too long" | "signer is not the wallet";

/** What became of a token. `digest` names the token in revocations: it is one for all spellings of the same claims. */
export type TokenCheck =
  | { readonly kind: "valid"; readonly claims: TokenClaims; readonly digest: Uint8Array }
  | { readonly kind: "refused"; readonly fault: TokenFault };

export const TOKEN_SCHEME = "fula-eip712";
export const MAX_TOKEN_SECONDS = 24 * 3600;
/** How far ahead of ours an issuer's clock may be. */
export const MAX_TOKEN_SKEW_SECONDS = 300;
export const DEFAULT_TOKEN_SECONDS = 600;

/** A token from `now` on, in seconds since 1970. Throws `usage` for a lifetime that masters refuse. */
export async function signToken(
  signer: WalletSigner,
  now: number,
  seconds: number = DEFAULT_TOKEN_SECONDS,
): Promise<string> {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_TOKEN_SECONDS) {
    throw new SynclineError("usage", `A token lives 1 to ${MAX_TOKEN_SECONDS} seconds.`);
  }
  const claims: TokenClaims = { wallet: signer.wallet, iat: now, exp: now + seconds };
  const payload = Buffer.from(JSON.stringify({ wallet: claims.wallet, iat: claims.iat, exp: claims.exp }));
  const signature = Buffer.from(await signer.sign(typedClaims(claims)));
  return `${TOKEN_SCHEME}.${payload.toString("base64url")}.${signature.toString("base64url")}`;
}

/** Verifies at `now`, in seconds since 1970. Never throws: whatever comes over a network is valid or refused. */
export function checkToken(token: string, now: number): TokenCheck {
  const parsed = parseToken(token);
  if (parsed === undefined) return refused("malformed");
  const { claims, signature } = parsed;
  if (claims.exp <= now) return refused("expired");
  if (claims.iat > now + MAX_TOKEN_SKEW_SECONDS) return refused("not yet valid");
  if (claims.exp - claims.iat > MAX_TOKEN_SECONDS) return refused("lifetime too long");
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
const CLAIMS = ["exp", "iat", "wallet"];

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
  // Wallets spell v as 27 and 28, some libraries as 0 and 1.
  const v = signature[64] ?? 0;
  signature[64] = v < 2 ? v + 27 : v;
  return { claims, signature };
}

/** Undefined unless the text is the one spelling of its bytes. */
function decodeBase64url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? new Uint8Array(bytes) : undefined;
}

function parseClaims(payload: Uint8Array): TokenClaims | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Object.keys(value).toSorted().join() !== CLAIMS.join())
    return undefined;
  const { wallet, iat, exp } = value as Record<string, unknown>;
  if (typeof wallet !== "string" || !isSeconds(iat) || !isSeconds(exp) || iat >= exp) return undefined;
  try {
    return { wallet: parseWallet(wallet), iat, exp };
  } catch {
    return undefined;
  }
}

function isSeconds(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function refused(fault: TokenFault): TokenCheck {
  return { kind: "refused", fault };
}
