/** Runs collections on their own thread (collector-worker.ts) for the agent. */
import { Worker } from "node:worker_threads";
import type { Clock } from "../../base/clock.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { CollectReport } from "../../bucket/gc/collector.ts";
import type { CollectionMark, CollectionNews } from "../../bucket/gc/need.ts";
import { threadEnv } from "../../runtime/compiled-code.ts";
import { createCaller } from "./rpc.ts";
import type { Trust } from "../../net/access.ts";

export interface CollectionJob {
  readonly address: string;
  /** Holds the collector's device. */
  readonly stateDir: string;
  /** Folder of all states. */
  readonly stateRoot: string;
  readonly trust: Trust;
  readonly known: CollectionMark | undefined;
  readonly many: number;
}

/** What the main thread asks the worker. */
export type CollectorMethods = {
  collect(job: CollectionJob): Promise<CollectionNews<CollectReport>>;
  /** Ends the collection where nothing is half done. */
  stop(nothing: undefined): void;
};

/** The lists of blocks are outside the heap: only roots and packs take room in it. */
const HEAP_MB = 1_024;
/** How long a collection may take to end. */
const STOP_MS = 2_000;

/** As `collectIfNeeded`, on its own thread. Throws `limit_exceeded` if memory runs out. */
export async function collectOnThread(
  job: CollectionJob,
  clock: Clock,
  signal: AbortSignal,
): Promise<CollectionNews<CollectReport>> {
  const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB };
  const worker = new Worker(new URL("collector-worker.js", import.meta.url), {
    name: "collector",
    resourceLimits,
    env: threadEnv(),
  });
  const { call, stop } = createCaller<CollectorMethods>(worker);
  const ask = () => {
    call("stop", undefined).catch(() => {});
    // The next collection takes what this one leaves.
    clock.after(STOP_MS, () => void worker.terminate());
  };
  worker.once("error", (cause) => stop(diedOf(cause)));
  worker.once("exit", () => stop(diedOf(undefined)));
  signal.addEventListener("abort", ask, { once: true });
  try {
    signal.throwIfAborted();
    return await call("collect", job);
  } catch (error) {
    throw hasCode(error, "limit_exceeded") ? tooLarge(error) : error;
  } finally {
    signal.removeEventListener("abort", ask);
    // Node.js crashes if a thread is terminated while it loads its code.
    await call("stop", undefined).catch(() => {});
    await worker.terminate();
  }
}

function diedOf(cause: unknown): SynclineError {
  if (cause instanceof Error && "code" in cause && cause.code === "ERR_WORKER_OUT_OF_MEMORY") {
    return new SynclineError("limit_exceeded", "Its roots and packs do not fit into the heap.", { cause });
  }
  return new SynclineError("internal", "The garbage collection thread ended unexpectedly.", { cause });
}

function tooLarge(cause: SynclineError): SynclineError {
  const message = `The bucket is too large for an agent to collect its garbage. ${cause.message}`;
  return new SynclineError("limit_exceeded", message, {
    hint: "Run `syncline gc` on a machine with enough memory.",
    cause,
  });
}
