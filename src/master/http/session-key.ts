/**
 * Session tokens: JWTs (RFC 7519) signed with the operator's key, whose `sub` is a wallet. They work beside wallet tokens.
 *
 * The key alone determines the algorithm: HS256 for a secret, EdDSA or ES256 for a public key; a token's header never
 * chooses. Tokens without `exp` are refused.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { errors, jwtVerify } from "jose";
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { blake3 } from "../../crypto/hash.ts";
import { MAX_TOKEN_SKEW_SECONDS } from "../../crypto/token.ts";
import { parseWallet } from "../../crypto/wallet.ts";

export interface SessionClaims {
  readonly wallet: Wallet;
  /** Identifies it in revocations, whatever its spelling or signature: hex digits. */
  readonly digest: string;
  /** Whole seconds since 1970. */
  readonly exp: number;
}

export type SessionFault = "token_malformed" | "token_expired" | "token_early" | "token_foreign";

export interface SessionKey {
  readonly algorithm: "HS256" | "EdDSA" | "ES256";
  check(token: string, nowSeconds: number): Promise<SessionClaims | SessionFault>;
}

const MAX_SESSION_CHARS = 4096;
/** RFC 7518, 3.2: an HS256 key is at least as long as its hash. */
const MIN_SECRET_BYTES = 32;

/** From the text of a key file: a public key in PEM, else a secret. Throws `config_invalid`. */
export function parseSessionKey(text: string): SessionKey {
  const trimmed = text.trim();
  if (!trimmed.startsWith("-----BEGIN")) {
    const secret = Buffer.from(trimmed, "utf8");
    if (secret.length < MIN_SECRET_BYTES) throw invalid(`A secret must have at least ${MIN_SECRET_BYTES} characters.`);
    return sessionKey("HS256", secret);
  }
  if (trimmed.includes("PRIVATE KEY"))
    throw invalid("A master needs only the public key: keep the private key elsewhere.");
  let key: KeyObject;
  try {
    key = createPublicKey(trimmed);
  } catch (cause) {
    throw invalid("It is not a public key in PEM.", cause);
  }
  if (key.asymmetricKeyType === "ed25519") return sessionKey("EdDSA", key);
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1")
    return sessionKey("ES256", key);
  throw invalid("Only Ed25519 and P-256 keys are supported.");
}

function sessionKey(algorithm: SessionKey["algorithm"], key: KeyObject | Uint8Array): SessionKey {
  return {
    algorithm,
    async check(token, nowSeconds) {
      if (token.length > MAX_SESSION_CHARS) return "token_malformed";
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [algorithm],
          requiredClaims: ["sub", "exp"],
          currentDate: new Date(nowSeconds * 1000),
        });
        const { sub = "", exp = 0, iat = 0 } = payload;
        if (exp <= nowSeconds) return "token_expired";
        if (iat > nowSeconds + MAX_TOKEN_SKEW_SECONDS) return "token_early";
        // `exp` may be fractional or enormous (RFC 7519, section 2).
        const end = Math.min(Math.ceil(exp), Number.MAX_SAFE_INTEGER);
        return { wallet: parseWallet(sub), digest: digestOf(token), exp: end };
      } catch (cause) {
        if (cause instanceof errors.JWTExpired) return "token_expired";
        if (cause instanceof errors.JWTClaimValidationFailed && cause.claim === "nbf") return "token_early";
        if (cause instanceof errors.JWSSignatureVerificationFailed) return "token_foreign";
        return "token_malformed";
      }
    },
  };
}

function digestOf(token: string): string {
  return Buffer.from(blake3(Buffer.from(token.slice(0, token.lastIndexOf("."))))).toString("hex");
}

function invalid(why: string, cause?: unknown): SynclineError {
  return new SynclineError("config_invalid", `The session token key cannot be used. ${why}`, {
    hint: "Give a file with a public key in PEM (Ed25519 or P-256), or with a secret of at least 32 characters.",
    cause,
  });
}
