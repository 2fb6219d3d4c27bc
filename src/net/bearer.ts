/**
 * A client's identity to a master: the bearer sent with every call. Each master gets its own, made on first use and kept
 * for minutes only: tokens name no audience, so one master can use a bearer at another until it expires.
 */
import type { Clock } from "../base/clock.ts";
import { DEFAULT_TOKEN_SECONDS, signToken } from "../crypto/token.ts";
import type { WalletSigner } from "../crypto/wallet.ts";

export interface Bearer {
  /** The text after "Bearer ". Throws `key_locked`, `key_invalid`, and whatever the wallet throws. */
  token(): Promise<string>;
  /** The master rejected this token: the next call makes a new one. */
  refused(token: string): void;
}

/** Tokens are renewed this long before they expire, so that none expires in transit. */
export const RENEW_AHEAD_MS = 120_000;

/** A bearer whose token `make` makes on demand, kept for `keepMs`. Concurrent requests share one token. */
export function keptBearer(clock: Clock, keepMs: number, make: () => Promise<string>): Bearer {
  let kept: Kept | undefined;
  const forget = (current: Kept) => {
    if (kept === current) kept = undefined;
  };
  const remember = async (current: Kept) => {
    try {
      current.token = await current.made;
    } catch {
      // The next call tries again: the wallet may be available by then.
      forget(current);
    }
  };
  return {
    token() {
      // Wall clock, since token expiry uses it and it keeps running while the machine sleeps.
      const nowMs = Number(clock.nowNs() / 1_000_000n);
      const ageMs = kept === undefined ? Infinity : nowMs - kept.madeMs;
      if (kept !== undefined && ageMs >= 0 && ageMs < keepMs) return kept.made;
      kept = { made: make(), madeMs: nowMs, token: undefined };
      void remember(kept);
      return kept.made;
    },
    refused(token) {
      if (kept?.token === token) forget(kept);
    },
  };
}

interface Kept {
  readonly made: Promise<string>;
  readonly madeMs: number;
  token: string | undefined;
}

/** Ten-minute tokens of this wallet, which is opened for the first token. */
export function walletBearer(wallet: () => Promise<WalletSigner>, clock: Clock): Bearer {
  return keptBearer(clock, DEFAULT_TOKEN_SECONDS * 1000 - RENEW_AHEAD_MS, async () =>
    signToken(await wallet(), Number(clock.nowNs() / 1_000_000_000n)),
  );
}

/** A session token issued elsewhere; it cannot be renewed here. */
export function sessionBearer(token: string): Bearer {
  return { token: async () => token, refused: () => {} };
}
