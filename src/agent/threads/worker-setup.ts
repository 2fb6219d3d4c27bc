/** What the thread that serves is told at its start. */
import type { Bucket } from "../../bucket/bucket.ts";
import { trustOf } from "../../net/access.ts";
import { objectsInMemory } from "../../runtime/memory.ts";
import type { AgentOptions } from "../agent.ts";
import { firstBase } from "../state/first-base.ts";
import { cacheDirOf } from "../state/state-dir.ts";
import type { WorkerSetup } from "./threads.ts";

/** Throws as `firstBase`, which reads the newest root. */
export async function workerSetup(options: AgentOptions, bucket: Bucket, readOnly: boolean): Promise<WorkerSetup> {
  const { address, stateDir, stateRoot, cacheBytes, unpublished } = options;
  const { readTimeoutMs, publishedDurability, supervision, access } = options;
  return {
    address,
    stateDir,
    stateRoot,
    cacheDir: cacheDirOf(stateDir),
    cacheBytes,
    unpublished,
    unpublishedObjects: objectsInMemory(),
    readOnly,
    readTimeoutMs,
    publishedDurability,
    trust: trustOf(access),
    genesis: bucket.genesis.bytes,
    base: await firstBase(bucket, options),
    supervision,
  };
}
