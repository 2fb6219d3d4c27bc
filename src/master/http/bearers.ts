/**
 * Identifies callers: bearers are verified once, which takes 1 ms, remembered by their text, and checked for expiry and revocation on each
 * call. Accepts wallet tokens (crypto/token.ts) and, with a configured key, session tokens. Invalid ones throw a Refusal.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Clock } from "../../base/clock.ts";
import type { Wallet } from "../../base/ids.ts";
import { KNOWN_BEARERS } from "../limits.ts";
import { readToken, TOKEN_SCHEME, verifyToken, type TokenFault, type TokenRefusal } from "../../crypto/token.ts";
import { SignatureQueue, type Peer } from "./signature-queue.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";
import type { RevocationList } from "../storage.ts";
import type { SessionClaims, SessionKey } from "./session-key.ts";

export interface Bearer extends SessionClaims {
  /** As it was sent. */
  readonly text: string;
}

export interface BearerRules {
  /** Wallets that are served. */
  readonly allow: ReadonlySet<Wallet>;
  readonly sessionKey: SessionKey | undefined;
  readonly revocations: RevocationList;
  readonly clock: Clock;
}

export class Bearers {
  readonly #rules: BearerRules;
  readonly #known = new BoundedMap<string, Bearer>(KNOWN_BEARERS);
  readonly #signatures: SignatureQueue;

  constructor(rules: BearerRules) {
    this.#rules = rules;
    this.#signatures = new SignatureQueue(rules.clock);
  }

  get takesSessions(): boolean {
    return this.#rules.sessionKey !== undefined;
  }

  /**
   * From the Authorization header; verified at once without a peer. `takesUnrecorded`: also if it was revoked, but that could
   * not be recorded. Throws a Refusal with status 401 or 403.
   */
  async check(authorization: string | undefined, peer?: Peer, takesUnrecorded = false): Promise<Bearer> {
    const text = /^bearer +([^\s,]+) *$/i.exec(authorization ?? "")?.[1];
    if (text === undefined) {
      throw unauthorized(
        "bearer_missing",
        "This call needs a bearer token: send `Authorization: Bearer` with a wallet token.",
      );
    }
    return this.checkText(text, peer, takesUnrecorded);
  }

  /** A bearer by itself. Throws as `check`. */
  async checkText(text: string, peer?: Peer, takesUnrecorded = false): Promise<Bearer> {
    const when: When = (verify) => (peer === undefined ? verify() : this.#signatures.resolve(peer, verify));
    const bearer = this.#known.get(text) ?? (await this.#verify(text, when));
    this.#checkValid(bearer);
    const { revocations } = this.#rules;
    const isRevoked = revocations.has(bearer.digest) && !(takesUnrecorded && revocations.isUnrecorded(bearer.digest));
    if (isRevoked) throw refused("token_revoked");
    if (peer !== undefined) this.#signatures.trust(peer);
    return bearer;
  }

  /**
   * A bearer that a caller names to revoke it, again if need be. Its signature waits its turn, whatever the connection has
   * shown. Throws as `check`, and `no_grant` for another wallet's, which is not verified.
   */
  async checkOwn(text: string, caller: Wallet, peer: Peer | undefined): Promise<Bearer> {
    const when: When = (verify) => (peer === undefined ? verify() : this.#signatures.inTurn(peer, verify));
    const bearer = this.#known.get(text) ?? (await this.#verify(text, when, caller));
    checkOwner(bearer.wallet, caller);
    this.#checkValid(bearer);
    return bearer;
  }

  nowSeconds(): number {
    return Number(this.#rules.clock.nowNs() / 1_000_000_000n);
  }

  #checkValid(bearer: Bearer): void {
    if (bearer.exp <= this.nowSeconds()) throw refused("token_expired");
    this.#checkServed(bearer.wallet);
  }

  #checkServed(wallet: Wallet): void {
    if (this.#rules.allow.has(wallet)) return;
    const message = "This master does not serve this wallet. Its operator can add the wallet with --allow.";
    throw new Refusal("wallet_not_allowed", message, { details: { wallet } });
  }

  async #verify(text: string, when: When, owner?: Wallet): Promise<Bearer> {
    const isWallets = text.startsWith(`${TOKEN_SCHEME}.`);
    const bearer = await (isWallets ? this.#walletToken(text, when, owner) : this.#sessionToken(text));
    // Valid tokens of wallets that are not served must not displace those that are.
    if (this.#rules.allow.has(bearer.wallet)) this.#known.set(text, bearer);
    return bearer;
  }

  /** Skips signatures of other wallets than the owner, and of those that are not served: anyone can make as many as they like. */
  async #walletToken(text: string, when: When, owner: Wallet | undefined): Promise<Bearer> {
    const read = accepted(readToken(text, this.nowSeconds()));
    if (owner !== undefined) checkOwner(read.claims.wallet, owner);
    this.#checkServed(read.claims.wallet);
    const { claims, digest } = await when(() => accepted(verifyToken(read)));
    return { wallet: claims.wallet, text, digest: Buffer.from(digest).toString("hex"), exp: claims.exp };
  }

  async #sessionToken(text: string): Promise<Bearer> {
    const check = await this.#rules.sessionKey?.check(text, this.nowSeconds());
    if (check === undefined) throw refused("token_malformed");
    if (typeof check === "string") throw refused(check);
    return { ...check, text };
  }
}

/** Runs a verification now, or in its turn. */
type When = <Result>(verify: () => Result) => Result | Promise<Result>;

function checkOwner(wallet: Wallet, caller: Wallet): void {
  if (wallet !== caller) throw new Refusal("no_grant", "Only the wallet that made a token can revoke it.");
}

/** The check's result, unless it is a refusal. */
function accepted<Good extends { readonly kind: "valid" | "unverified" }>(check: Good | TokenRefusal): Good {
  if (check.kind === "refused") throw refused(FAULT_CODES[check.fault]);
  return check;
}

const FAULT_CODES: Readonly<Record<TokenFault, TokenCode>> = {
  malformed: "token_malformed",
  expired: "token_expired",
  "not yet valid": "token_early",
  "lifetime too long": "token_too_long",
  "signer is not the wallet": "token_foreign",
};

const MESSAGES = {
  token_malformed: "The bearer token is not one that this master accepts. Make one: syncline token --origin ORIGIN.",
  token_expired: "The token has expired. Create a new one.",
  token_early: "The token is not valid yet: the clock that made it is more than 300 s ahead. Check both clocks.",
  token_too_long: "The token is valid for more than 24 hours, which no master accepts. Make a shorter one.",
  token_foreign: "The token was not signed by the wallet that it names, or it is for another kind of server.",
  token_revoked: "The token was revoked. Create a new one.",
} as const;

export type TokenCode = keyof typeof MESSAGES;

function refused(code: TokenCode): Refusal {
  return unauthorized(code, MESSAGES[code]);
}

/** WWW-Authenticate as RFC 6750, section 3, has it. */
function unauthorized(code: RefusalCode, message: string): Refusal {
  const challenge = code === "bearer_missing" ? "Bearer" : 'Bearer error="invalid_token"';
  return new Refusal(code, message, { headers: { "www-authenticate": challenge } });
}
