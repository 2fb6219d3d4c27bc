/** How a command gets into masters, by tokens of the wallet or by the session token in SYNCLINE_TOKEN, and what it trusts of what lies there. */
import { rootFile } from "../agent/state/root-file.ts";
import { stateRoot } from "../agent/state/state-dir.ts";
import { RootWitness } from "../bucket/root-witness.ts";
import { READ_PATIENCE_MS, WRITE_PATIENCE_MS } from "../base/limits.ts";
import { masterAccess, type MasterAccess } from "../net/access.ts";
import type { Call } from "./command.ts";
import { textOf } from "./terminal/text-file.ts";
import { loadWallet } from "./wallet.ts";

/** What everything that opens a bucket takes. */
export const MASTER_OPTIONS = ["accept", "insecure", "tlsCa"] as const;
export type MasterOption = (typeof MASTER_OPTIONS)[number];
/** What commands take besides, which wait for a master that does not answer. Agents try again by themselves. */
export const BUCKET_OPTIONS = [...MASTER_OPTIONS, "timeout"] as const;
export type BucketOption = (typeof BUCKET_OPTIONS)[number];

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

/** As `accessOf`, for a command that changes a bucket: it rides out a restart of the master. */
export function writingAccess(call: Call<BucketOption>): MasterAccess {
  return patient(call, WRITE_PATIENCE_MS);
}

/** As `accessOf`, for a command that reads. */
export function readingAccess(call: Call<BucketOption>): MasterAccess {
  return patient(call, READ_PATIENCE_MS);
}

function patient(call: Call<BucketOption>, patienceMs: number): MasterAccess {
  const { options, output } = call;
  const ms = options.timeout === undefined ? patienceMs : options.timeout * 1000;
  const waiting = ({ message }: Error) => output.notice(`${message} Trying again for up to ${ms / 1000} s.`);
  return { ...accessOf(call), patience: { ms, waiting } };
}

/** What this user saw at the address, whichever command or agent it was. */
export function witnessOf({ options, runtime }: Call<"accept">, address: string): RootWitness {
  return new RootWitness(rootFile(stateRoot(runtime.env, options.state), address), { accept: options.accept === true });
}
