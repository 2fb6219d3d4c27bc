/** A master's disk that holds a bucket, made by a master. */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { seededRandom } from "../seeded-random.ts";
import { Timeline } from "../timeline.ts";
import { FolderHost, type MasterData } from "./folder-host.ts";
import { SimulatedMaster } from "./simulated-master.ts";

/** The name of every bucket at a master. */
export const BUCKET = "bucket";

/** `commits`: the bucket's roots, oldest first. */
export async function masterHolding(
  owner: Wallet,
  blocks: ReadonlyMap<Cid, Uint8Array>,
  commits: readonly Cid[],
): Promise<MasterData> {
  const timeline = new Timeline();
  const random = seededRandom(1);
  const host = new FolderHost({ random, leaseSeconds: undefined });
  const master = new SimulatedMaster({ timeline, random, owner, compareAndSwap: true, host });
  await timeline.run(fillMaster(master, owner, blocks, commits));
  const data = host.data();
  master[Symbol.dispose]();
  return data;
}

/** Starts it, has it store the bucket, and stops it. */
export async function fillMaster(
  master: SimulatedMaster,
  owner: Wallet,
  blocks: ReadonlyMap<Cid, Uint8Array>,
  commits: readonly Cid[],
): Promise<void> {
  await master.start();
  const { parts } = master;
  if (parts === undefined) throw new SynclineError("internal", "The simulated master did not start.");
  await (await parts.stores.of(owner)).put(Array.from(blocks, ([cid, bytes]) => ({ cid, bytes })));
  const { signal } = new AbortController();
  for (const [index, commit] of commits.entries()) {
    const before = commits[index - 1];
    const condition =
      before === undefined ? ({ kind: "absent" } as const) : ({ kind: "present", roots: new Set([before]) } as const);
    await parts.bucketRoots.swap({ owner, bucket: BUCKET }, condition, commit, signal);
  }
  await master.stop();
}
