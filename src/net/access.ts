/** How a program is admitted to masters: a bearer for each origin, and the certificates and transports it trusts. */
import type { Clock } from "../base/clock.ts";
import { RateLimit, type Rates } from "../base/rate-limit.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import type { KnownMasters } from "./masters.ts";
import type { Patience } from "./patience.ts";
import { sessionBearer, walletBearer, type Bearer } from "./bearer.ts";

export interface MasterAccess {
  /** The bearer for this origin, the same one each time. */
  bearer(origin: string): Bearer;
  /** PEM certificates that are trusted beside those of the system. */
  readonly tlsCa: string | undefined;
  /** Bearers may be sent unencrypted to other machines. */
  readonly insecure: boolean;
  /** How long calls wait for a master that does not answer. Absent: they do not wait, since the caller retries. */
  readonly patience?: Patience | undefined;
  /** Remembers, by an address's origins, the masters that these named. Absent: they are not remembered. */
  readonly known?: ((origins: readonly string[]) => KnownMasters) | undefined;
  /** Limits everything that this thread sends to and receives from servers. */
  readonly limit?: RateLimit | undefined;
}

/** What another thread needs to call servers. It gets its tokens from this thread. */
export interface Trust extends Pick<MasterAccess, "tlsCa" | "insecure"> {
  /** Each thread has its own limit, at these rates. */
  readonly rates: Rates | undefined;
}

export function trustOf({ tlsCa, insecure, limit }: MasterAccess): Trust {
  return { tlsCa, insecure, rates: limit?.rates };
}

export function trustedAccess(bearer: MasterAccess["bearer"], { rates, ...trust }: Trust, clock: Clock): MasterAccess {
  return { bearer, ...trust, limit: rates && new RateLimit(clock, rates) };
}

export interface AccessOptions {
  /** Opens the wallet; called when the first token is made. */
  readonly wallet: () => Promise<WalletSigner>;
  /** A session token to use instead. */
  readonly sessionToken?: string | undefined;
  readonly tlsCa?: string | undefined;
  readonly insecure?: boolean | undefined;
  readonly known?: MasterAccess["known"];
  readonly limit?: Rates | undefined;
  readonly clock: Clock;
}

export function masterAccess(options: AccessOptions): MasterAccess {
  const { wallet, sessionToken, tlsCa, insecure = false, known, limit, clock } = options;
  const make = () => (sessionToken === undefined ? walletBearer(wallet, clock) : sessionBearer(sessionToken));
  return { bearer: eachOnce(make), tlsCa, insecure, known, limit: limit && new RateLimit(clock, limit) };
}

/** One bearer per origin, made on first request. */
export function eachOnce(make: (origin: string) => Bearer): (origin: string) => Bearer {
  const bearers = new Map<string, Bearer>();
  return (origin) => {
    const bearer = bearers.get(origin) ?? make(origin);
    bearers.set(origin, bearer);
    return bearer;
  };
}
