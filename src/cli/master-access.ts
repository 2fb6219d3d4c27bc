/** How a command gets into masters: by tokens of the wallet, or by the session token in SYNCLINE_TOKEN. */
import { masterAccess, type MasterAccess } from "../net/access.ts";
import type { Call } from "./command.ts";
import { textOf } from "./text-file.ts";
import { loadWallet } from "./wallet.ts";

/** What every command that opens a bucket takes. */
export const MASTER_OPTIONS = ["insecure", "tlsCa"] as const;
export type MasterOption = (typeof MASTER_OPTIONS)[number];

/** The wallet is opened when a master is called first. Throws `config_invalid` when the certificates cannot be read. */
export function accessOf(call: Call<MasterOption>): MasterAccess {
  const { options, runtime } = call;
  return masterAccess({
    wallet: () => loadWallet(call),
    sessionToken: runtime.env["SYNCLINE_TOKEN"] || undefined,
    tlsCa: options.tlsCa === undefined ? undefined : textOf(options.tlsCa),
    insecure: options.insecure,
    clock: runtime.clock,
  });
}
