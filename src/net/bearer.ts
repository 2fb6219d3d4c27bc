/**
 * Who a client is to a master: the bearer that goes with every call. Made when it is first needed, for each master by itself, and
 * kept for minutes: tokens name no audience, so that what one master sees opens others as long as it lasts.
 */
import type { Clock } from "../base/clock.ts";
import { DEFAULT_TOKEN_SECONDS, signToken } from "../crypto/token.ts";
import type { WalletSigner } from "../crypto/wallet.ts";

export interface Bearer {
  /** What stands behind "Bearer ". Throws `key_locked`, `key_invalid` and as the wallet does. */
  token(): Promise<string>;
  /** The master did not take this token: the next call makes a new one. */
  refused(token: string): void;
}

/** Tokens are renewed this long before they expire, so that none expires on its way. */
export const RENEW_AHEAD_MS = 120_000;

/** A bearer whose token is made by `make` when needed and kept for `keepMs`; all who ask meanwhile share it. */
export function keptBearer(clock: Clock, keepMs: number, make: () => Promise<string>): Bearer {
  let kept: Kept | undefined;
  const forget = (current: Kept) => {
    if (kept === current) kept = undefined;
  };
  const remember = async (current: Kept) => {
    try {
      current.token = await current.made;
    } catch {
      // Asked again by the next call: the wallet may be there by then.
      forget(current);
    }
  };
  return {
    token() {
      // By the wall clock, since tokens go by it, and since it goes on while the machine sleeps.
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

/** Ten-minute tokens of this wallet. The wallet is opened when the first one is made. */
export function walletBearer(wallet: () => Promise<WalletSigner>, clock: Clock): Bearer {
  return keptBearer(clock, DEFAULT_TOKEN_SECONDS * 1000 - RENEW_AHEAD_MS, async () =>
    signToken(await wallet(), Number(clock.nowNs() / 1_000_000_000n)),
  );
}

/** A session token that somebody was given: it cannot be renewed here. */
export function sessionBearer(token: string): Bearer {
  return { token: async () => token, refused: () => {} };
}
