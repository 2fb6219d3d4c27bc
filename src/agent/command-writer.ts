/** Writes to a bucket without a mount, with a command's own slot, its own device and an unused epoch number. */
import { join } from "node:path";
import type { Cid } from "../base/ids.ts";
import { SynclineError } from "../base/errors.ts";
import type { Ports } from "../base/ports.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { PublishOutcome } from "../bucket/publish/outcome.ts";
import { recoverRoot } from "../bucket/recover.ts";
import { rootRolledBack, RootWitness } from "../bucket/root-witness.ts";
import { openWriter, type BucketWriter } from "../bucket/writer.ts";
import type { MasterAccess } from "../net/access.ts";
import type { AgentOptions } from "./agent.ts";
import { rootFile } from "./state/root-file.ts";
import { openCommandState } from "./state/state-dir.ts";
import { readStateFile, writeStateFile } from "./state/state-file.ts";
import { openToWrite } from "./writing-bucket.ts";

export interface CommandWriterOptions
  extends Ports, Pick<AgentOptions, "address" | "stateRoot" | "wallet" | "machine"> {
  /** Accepts the bucket at the address even if it is another one, or was set back. */
  readonly accept?: boolean;
  readonly access?: MasterAccess | undefined;
}

export interface CommandWriter extends AsyncDisposable {
  readonly bucket: Bucket;
  /** The first epoch. Disposed with the session. */
  readonly writer: BucketWriter;
  /** Another epoch on the newest root, after the previous one is published. The caller disposes of it. */
  another(): Promise<BucketWriter>;
}

/** Throws `no_such_bucket`, `device_not_certified`, `state_in_use`, and as opening the bucket does. */
export async function openCommandWriter(options: CommandWriterOptions): Promise<CommandWriter> {
  const { clock, random, log } = options;
  if (options.accept === true) await recoverLost(options);
  const opened = await openCommandDevice(options);
  const { bucket, device } = opened;
  try {
    const current = await bucket.current();
    const seen = current === undefined ? 0 : await bucket.heads.epochOf(current.commit.body, device.device.writer);
    const context = { bucket, writer: device, clock, random, log };
    const writer = await openWriter(context, takeEpoch(opened.stateDir, seen));
    const another = () => openWriter(context, takeEpoch(opened.stateDir, 0));
    const dispose = async () => {
      await writer[Symbol.asyncDispose]();
      await opened[Symbol.asyncDispose]();
    };
    return { bucket, writer, another, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

export interface CommandDevice extends AsyncDisposable {
  readonly stateDir: string;
  /** Has no cache: everything it reads is in the bucket. */
  readonly bucket: Bucket;
  readonly device: Writer;
}

/** A slot's device on the bucket, for changes that are not epochs. Throws as `openCommandWriter`. */
export async function openCommandDevice(
  options: CommandWriterOptions,
  witness: RootWitness | undefined = witnessOf(options),
): Promise<CommandDevice> {
  const { stateRoot, address } = options;
  const state = openCommandState(stateRoot, address);
  try {
    const { opened, writer } = await openToWrite({ ...options, witness, stateDir: state.path });
    const dispose = async () => {
      await opened[Symbol.asyncDispose]();
      state[Symbol.dispose]();
    };
    return { stateDir: state.path, bucket: opened.bucket, device: writer.writer, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    state[Symbol.dispose]();
    throw error;
  }
}

/**
 * Merges newer roots back in that the bucket at the address has lost, before a person's --accept takes what is there.
 * `more`: roots that are known besides the newest one seen at the address.
 */
export async function recoverLost(options: CommandWriterOptions, more: readonly Cid[] = []): Promise<void> {
  const seen = rootFile(options.stateRoot, options.address).read();
  const lost = new Set([...(seen === undefined ? [] : [seen.root]), ...more]);
  if (lost.size === 0) return;
  // Nothing is accepted yet: a run that fails must not make this machine forget.
  await using device = await openCommandDevice(options, NO_WITNESS);
  const { bucket, device: writer } = device;
  const context = { ...options, bucket, writer };
  for (const root of lost) {
    const { commit } = await bucket.head();
    const used = await bucket.heads.epochOf(commit.body, writer.device.writer);
    const epoch = takeEpoch(device.stateDir, used);
    const outcome = await recoverRoot(context, epoch, root);
    if (outcome !== undefined) options.log.info("The bucket had lost a root, which was merged in again.", { root });
    if (outcome !== undefined) requirePublished(outcome);
  }
}

function witnessOf({ stateRoot, address, accept = false }: CommandWriterOptions): RootWitness {
  return new RootWitness(rootFile(stateRoot, address), { accept });
}

/** Knows nothing, and remembers nothing. */
const NO_WITNESS = new RootWitness({ read: () => undefined, note: () => {}, replace: () => {} }, { accept: false });

/** The outcome as commands see it: published, or an error. */
export function requirePublished(outcome: PublishOutcome): Extract<PublishOutcome, { kind: "published" }> {
  switch (outcome.kind) {
    case "published":
      return outcome;
    case "unreachable":
    case "foreign":
      throw outcome.cause;
    case "queued":
      if (outcome.isUnsure) {
        throw new SynclineError("store_unreachable", "The bucket did not say whether the change was written.", {
          hint: "Look at the bucket, and run the command again if the change is not there.",
        });
      }
      throw new SynclineError("root_moved", "Other writers published first on every attempt. Nothing was written.", {
        hint: "Run the command again.",
      });
    case "rolled_back":
      throw rootRolledBack(outcome.root);
    case "device_reused":
      throw new SynclineError(
        "state_corrupt",
        "The state of this command was copied from elsewhere. Nothing was written.",
        { hint: "Delete this bucket's cli-… folders in the state folder, then run the command again." },
      );
  }
}

/** A number above all that this slot has used, recorded before use. */
function takeEpoch(stateDir: string, seen: number): number {
  const path = join(stateDir, "epoch");
  const epoch = Math.max(seen, Number(readStateFile(path)?.toString("utf8")) || 0) + 1;
  writeStateFile(path, Buffer.from(String(epoch)));
  return epoch;
}
