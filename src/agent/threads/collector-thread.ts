/** Collections on a thread of their own (collector-worker.ts), as the agent sees them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { parseAddress } from "../../bucket/address.ts";
import type { CollectionMark, CollectionNews } from "../../bucket/gc/need.ts";
import type { AgentOptions } from "../agent.ts";
import type { CollectionRecord } from "./background-collection.ts";
import { type DeviceSetup, openDevice } from "../state/device.ts";
import { createCaller } from "./rpc.ts";
import { readStateFile, writeStateFile } from "../state/state-file.ts";

export interface CollectionJob {
  readonly address: string;
  /** With the device of the collector. */
  readonly stateDir: string;
  /** Folder of all states. */
  readonly stateRoot: string;
  readonly known: CollectionMark | undefined;
  readonly many: number;
}

/** What the main thread asks the worker. */
export type CollectorMethods = {
  collect(job: CollectionJob): Promise<CollectionNews>;
  /** Ends the collection where nothing is begun. */
  stop(nothing: undefined): void;
};

/** About 2 million blocks that stay; a larger bucket is collected by `syncline gc`, which has no such bound. */
const HEAP_MB = 1_024;
/** How long one that is to end may take for that. */
const STOP_MS = 2_000;

/** Whether this agent is to collect: what a master stores, the master collects. */
export function collectsItself({ address, collects }: Pick<AgentOptions, "address" | "collects">): boolean {
  return collects && parseAddress(address).isPacked;
}

/** As `collectIfNeeded`, on a thread that ends with it. Throws `limit_exceeded` where the memory does not suffice. */
export async function collectOnThread(job: CollectionJob, clock: Clock, signal: AbortSignal): Promise<CollectionNews> {
  const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB };
  const worker = new Worker(new URL("collector-worker.js", import.meta.url), { name: "collector", resourceLimits });
  const { call, stop } = createCaller<CollectorMethods>(worker);
  const ask = () => {
    call("stop", undefined).catch(() => {});
    // What it leaves then, the next collection takes.
    clock.after(STOP_MS, () => void worker.terminate());
  };
  worker.once("error", (cause) => stop(diedOf(cause)));
  worker.once("exit", () => stop(diedOf(undefined)));
  signal.addEventListener("abort", ask, { once: true });
  try {
    signal.throwIfAborted();
    return await call("collect", job);
  } finally {
    signal.removeEventListener("abort", ask);
    await worker.terminate();
  }
}

function diedOf(cause: unknown): SynclineError {
  if (cause instanceof Error && "code" in cause && cause.code === "ERR_WORKER_OUT_OF_MEMORY") {
    return new SynclineError("limit_exceeded", "The bucket has more blocks than an agent collects by itself.", {
      hint: "Run `syncline gc` on it, on a machine with enough memory.",
      cause,
    });
  }
  return new SynclineError("internal", "The thread that collects garbage ended.", { cause });
}

/** Makes and certifies the collector's own device, which nobody publishes with, in a folder of this state. Throws as `openDevice`. */
export async function prepareCollector(setup: DeviceSetup): Promise<void> {
  const stateDir = collectorDirOf(setup.stateDir);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  await openDevice({ ...setup, stateDir });
}

export function collectorDirOf(stateDir: string): string {
  return join(stateDir, "collector");
}

/** Undefined for what is no record: then it is found out anew. */
export function readRecord(stateDir: string): CollectionRecord | undefined {
  const text = readStateFile(join(collectorDirOf(stateDir), RECORD))?.toString("utf8");
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as CollectionRecord;
    const { mark, timeMs, retained } = record;
    return [mark.gcEpoch, mark.seq, timeMs, retained].every(Number.isFinite) ? record : undefined;
  } catch {
    return undefined;
  }
}

export function writeRecord(stateDir: string, record: CollectionRecord): void {
  writeStateFile(join(collectorDirOf(stateDir), RECORD), Buffer.from(JSON.stringify(record)));
}

const RECORD = "collected.json";
