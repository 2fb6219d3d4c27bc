/**
 * What an agent needs to collect its bucket's garbage: a device of its own in a folder of the agent's state, and a record of
 * the last collection. A master collects its garbage itself: there the agent only thins the history.
 */
import { join } from "node:path";
import { makeFolders } from "../runtime/make-folders.ts";
import { SynclineError } from "../base/errors.ts";
import { orElse } from "../base/unless.ts";
import { type CollectionMark, type CollectionNews, thinIfNeeded } from "../bucket/gc/need.ts";
import { RootWitness } from "../bucket/root-witness.ts";
import type { CollectionRecord } from "./threads/background-collection.ts";
import { type DeviceSetup, openDevice } from "./state/device.ts";
import { rootFile } from "./state/root-file.ts";
import { collectorDirOf } from "./state/state-dir.ts";
import { readStateFile, writeStateFile } from "./state/state-file.ts";
import { openToWrite, type WritingBucket, type WritingOptions } from "./writing-bucket.ts";

export interface CollectorOptions extends Omit<WritingOptions, "wallet" | "witness" | "machine" | "cache"> {
  /** Folder of all states. */
  readonly stateRoot: string;
}

/** Makes and certifies the collector's device, while the wallet is at hand. It publishes no files. Throws as `openDevice`. */
export async function prepareCollector(setup: DeviceSetup): Promise<void> {
  const stateDir = collectorDirOf(setup.stateDir);
  makeFolders(stateDir, 0o700);
  await openDevice({ ...setup, stateDir });
}

/**
 * Opens the bucket with the collector's device, whose folder is `stateDir`. Without a cache: what it reads is read once.
 * Throws as `openToWrite`, and `device_not_certified` if the device's certificate is missing or has ended.
 */
export async function openCollector({ stateRoot, ...options }: CollectorOptions): Promise<WritingBucket> {
  const witness = new RootWitness(rootFile(stateRoot, options.address), { accept: false });
  return openToWrite({ ...options, witness, wallet: noWallet });
}

async function noWallet(): Promise<never> {
  throw new SynclineError("device_not_certified", "The collector's device has no valid certificate.", {
    hint: "Restart the agent so that the owner's key can sign one.",
  });
}

/** As `thinIfNeeded`, with the collector's device. When aborted it rejects at once, and requests under way end by themselves. */
export async function thinHistory(
  options: CollectorOptions,
  known: CollectionMark | undefined,
  many: number,
  signal: AbortSignal,
): Promise<CollectionNews> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([thinNow(options, known, many), aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function thinNow(options: CollectorOptions, known: CollectionMark | undefined, many: number) {
  const { clock, random } = options;
  const { opened, writer } = await openCollector(options);
  await using _ = opened;
  return await thinIfNeeded({ bucket: opened.bucket, writer: writer.writer, clock, random }, known, many);
}

/** Undefined if invalid: the next collection finds out. */
export function readRecord(stateDir: string): CollectionRecord | undefined {
  const text = readStateFile(join(collectorDirOf(stateDir), RECORD))?.toString("utf8");
  if (text === undefined) return undefined;
  return orElse(undefined, () => {
    const record = JSON.parse(text) as CollectionRecord;
    const { mark, timeMs, retained } = record;
    return [mark.gcEpoch, mark.seq, timeMs, retained].every(Number.isFinite) ? record : undefined;
  });
}

export function writeRecord(stateDir: string, record: CollectionRecord): void {
  writeStateFile(join(collectorDirOf(stateDir), RECORD), Buffer.from(JSON.stringify(record)));
}

const RECORD = "collected.json";
