/**
 * Starts the thread that serves the filesystem (vfs-worker.ts), which loads its code meanwhile. While programs wait for an agent,
 * it loads beside this thread instead of after it. So this file imports little.
 */
import { Worker } from "node:worker_threads";
import { threadEnv } from "../../runtime/compiled-code.ts";
import { boundMemory, HEAP_LIMIT_MB } from "../../runtime/memory.ts";

/** The young generation's size: garbage of a batch of calls dies at once, so a larger one only costs memory. */
const YOUNG_GENERATION_MB = 8;

let early: Worker | undefined;

/** Starts the thread that `takeWorker` will return. Until then, it does not keep this process from ending. */
export function startEarly(): void {
  early = startWorker();
  early.unref();
}

/** To be called once; the caller handles the thread's events. */
export function takeWorker(): Worker {
  const worker = early ?? startWorker();
  early = undefined;
  worker.ref();
  return worker;
}

function startWorker(): Worker {
  boundMemory();
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB, maxOldGenerationSizeMb: HEAP_LIMIT_MB };
  return new Worker(new URL("vfs-worker.js", import.meta.url), {
    name: "filesystem",
    resourceLimits,
    env: threadEnv(),
  });
}
