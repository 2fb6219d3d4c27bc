/** Opens a bucket for writing with a state's device, for an agent or a command. */
import { CertifiedWriter } from "./certified-writer.ts";
import { openDevice } from "./state/device.ts";
import { openBucket, type OpenBucketOptions, type OpenedBucket } from "./open-bucket.ts";
import type { RenewableWriter } from "./publishing/renewable-writer.ts";
import type { WalletSigner } from "../crypto/wallet.ts";

export interface WritingOptions extends Omit<OpenBucketOptions, "writer"> {
  readonly stateDir: string;
  /** Opens the wallet; called only when a device must be certified. */
  readonly wallet: () => Promise<WalletSigner>;
  /** This machine's name for the history; absent: none. */
  readonly machine?: string | undefined;
  /** Programs wait for this agent, so it does not ask the wallet for a new certificate before it serves. */
  readonly takesOver?: boolean | undefined;
}

export interface WritingBucket {
  readonly opened: OpenedBucket;
  readonly writer: RenewableWriter;
}

/** An agent's bucket; without a writer, the agent only reads. */
export type AgentBucket = Pick<WritingBucket, "opened"> & Partial<WritingBucket>;

/** Throws `device_not_certified`, and as opening the bucket and the wallet do. */
export async function openToWrite(options: WritingOptions): Promise<WritingBucket> {
  const { stateDir, wallet, machine, takesOver = false, clock, random, log } = options;
  // Opened twice: the genesis says whose device this must be, and the device says who uploads.
  const reading = await openBucket({ ...options, cache: undefined });
  const { genesis } = reading.bucket;
  await reading[Symbol.asyncDispose]();
  const setup = { stateDir, genesis, wallet, clock, random };
  const device = await openDevice(setup, !takesOver);
  const writer = new CertifiedWriter({ ...setup, machine, log }, device);
  const opened = await openBucket({ ...options, genesis: genesis.bytes, writer: () => writer.writer.device.writer });
  return { opened, writer };
}
