/** How a command gets into masters, by tokens of the wallet or by the session token in SYNCLINE_TOKEN, and what it trusts of what lies there. */
import { rootFile } from "../agent/root-file.ts";
import { stateRoot } from "../agent/state-dir.ts";
import { RootWitness } from "../bucket/root-witness.ts";
import { masterAccess, type MasterAccess } from "../net/access.ts";
import type { Call } from "./command.ts";
import { textOf } from "./text-file.ts";
import { loadWallet } from "./wallet.ts";

/** What every command that opens a bucket takes. */
export const MASTER_OPTIONS = ["accept", "insecure", "tlsCa"] as const;
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

/** What this user saw at the address, whichever command or agent it was. */
export function witnessOf({ options, runtime }: Call<"accept">, address: string): RootWitness {
  return new RootWitness(rootFile(stateRoot(runtime.env, options.state), address), { accept: options.accept === true });
}
