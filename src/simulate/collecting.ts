/** `syncline gc` on a simulated machine. */
import { withKnownGenesis } from "../agent/open-bucket.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { RetryReader } from "../blocks/retry-reader.ts";
import { VerifiedReader } from "../blocks/verified-reader.ts";
import { Bucket } from "../bucket/bucket.ts";
import { collect } from "../bucket/gc/collector.ts";
import type { CollectReport } from "../bucket/gc/collector.ts";
import { PackedRemote } from "../bucket/packed/packed-remote.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import type { Beginning } from "./beginning.ts";

export interface CollectingOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly beginning: Beginning;
  /** Of this collection only. */
  readonly writer: Writer;
}

/**
 * Spares no pack for its age: leases alone must protect what is being uploaded. Collects whatever it gains, since simulated buckets are small.
 * Throws as `collect`.
 */
export async function collectIn({
  store,
  clock,
  random,
  beginning,
  writer,
}: CollectingOptions): Promise<CollectReport> {
  const { genesis, checks } = beginning;
  const remote = new PackedRemote(store, { clock, random });
  const forget = () => remote.forgetPlacement();
  const blocks = new RetryReader(new VerifiedReader(remote.blocks), { clock, random, forget });
  const bucket = await Bucket.open(withKnownGenesis(remote, genesis.bytes), { blocks, checks });
  return collect({ bucket, store, writer, clock, random, youngMs: 0, leastGainBytes: -Infinity });
}
