/** How a program is admitted to masters: a bearer for each origin, and the certificates and transports it trusts. */
import type { Clock } from "../base/clock.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import type { Patience } from "./patient-master.ts";
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
}

export interface AccessOptions {
  /** Opens the wallet; called when the first token is made. */
  readonly wallet: () => Promise<WalletSigner>;
  /** A session token to use instead. */
  readonly sessionToken?: string | undefined;
  readonly tlsCa?: string | undefined;
  readonly insecure?: boolean | undefined;
  readonly clock: Clock;
}

export function masterAccess({ wallet, sessionToken, tlsCa, insecure = false, clock }: AccessOptions): MasterAccess {
  const make = () => (sessionToken === undefined ? walletBearer(wallet, clock) : sessionBearer(sessionToken));
  return { bearer: eachOnce(make), tlsCa, insecure };
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
