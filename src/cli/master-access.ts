/**
 * How a command signs in to masters, with tokens of the wallet or the session token in SYNCLINE_TOKEN, and which buckets it
 * trusts.
 */
import { X509Certificate } from "node:crypto";
import { knownMasters } from "../agent/state/known-masters.ts";
import { rootFile } from "../agent/state/root-file.ts";
import { stateRoot } from "../agent/state/state-dir.ts";
import { parseAddress } from "../bucket/address.ts";
import { RootWitness } from "../bucket/root-witness.ts";
import type { Rates } from "../base/rate-limit.ts";
import { SynclineError } from "../base/errors.ts";
import { MASTER_SILENCE_MS, READ_PATIENCE_MS, WRITE_PATIENCE_MS } from "../base/limits.ts";
import { masterAccess, type MasterAccess } from "../net/access.ts";
import type { Call } from "./command.ts";
import type { StartFiles } from "./start-files.ts";
import { textOf } from "./terminal/text-file.ts";
import { loadWallet } from "./wallet.ts";

/** Options of everything that opens a bucket. */
export const MASTER_OPTIONS = ["accept", "insecure", "tlsCa"] as const;
export type MasterOption = (typeof MASTER_OPTIONS)[number];
/** Options of commands that wait for a master to answer. Agents retry by themselves. */
export const BUCKET_OPTIONS = [...MASTER_OPTIONS, "timeout"] as const;
export type BucketOption = (typeof BUCKET_OPTIONS)[number];

/** Opens the wallet at the first call to a master. Throws `config_invalid` if the certificates cannot be used. */
export function accessOf(call: Call<MasterOption>, limit?: Rates): MasterAccess {
  const { options, runtime } = call;
  return masterAccess({
    wallet: () => loadWallet(call),
    sessionToken: runtime.env["SYNCLINE_TOKEN"] || undefined,
    tlsCa: options.tlsCa === undefined ? undefined : certificatesOf(options.tlsCa, runtime.files),
    insecure: options.insecure,
    known: knownMasters(stateRoot(runtime.env, options.state)),
    limit,
    clock: runtime.clock,
  });
}

/** Whether every call to the bucket needs a token of the wallet. */
export function asksWallet({ env }: Call["runtime"], address: string): boolean {
  return parseAddress(address).scheme === "http" && !env["SYNCLINE_TOKEN"];
}

function certificatesOf(path: string, files: StartFiles): string {
  const text = textOf(path, files);
  try {
    // A file that is just being written may be empty.
    void new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new SynclineError("config_invalid", `Cannot use the certificates of --tls-ca: ${String(cause)}`, {
      hint: "The file must hold certificates in PEM form: -----BEGIN CERTIFICATE-----.",
      cause,
    });
  }
}

/** As `accessOf`, for commands that change a bucket: waits out a restart of the master. */
export function writingAccess(call: Call<BucketOption>): MasterAccess {
  return patient(call, WRITE_PATIENCE_MS);
}

/** As `accessOf`, for commands that read. */
export function readingAccess(call: Call<BucketOption>): MasterAccess {
  return patient(call, READ_PATIENCE_MS);
}

/** As `accessOf`, for a command that changes a bucket only to repair it. */
export function repairingAccess(call: Call<BucketOption | "repair">): MasterAccess {
  return call.options.repair === true ? writingAccess(call) : readingAccess(call);
}

function patient(call: Call<BucketOption>, patienceMs: number): MasterAccess {
  const { options, output } = call;
  const { timeout = patienceMs / 1_000 } = options;
  const ms = timeout * 1_000;
  const silenceMs = options.timeout === undefined ? undefined : Math.min(ms, MASTER_SILENCE_MS);
  const waiting = ({ message }: Error, leftMs: number) =>
    output.notice(`${message} Retrying for up to ${Number((leftMs / 1_000).toPrecision(2))} s.`);
  return { ...accessOf(call), patience: { ms, silenceMs, waiting } };
}

/** What this user's commands and agents have seen at the address. */
export function witnessOf({ options, runtime }: Call<"accept">, address: string): RootWitness {
  return new RootWitness(rootFile(stateRoot(runtime.env, options.state), address), { accept: options.accept === true });
}
