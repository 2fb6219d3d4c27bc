/** `syncline gc` on a simulated machine. */
import { withKnownGenesis } from "../agent/open-bucket.ts";
import type { Ports } from "../base/ports.ts";
import { RetryReader } from "../blocks/retry-reader.ts";
import { VerifiedReader } from "../blocks/verified-reader.ts";
import { Bucket } from "../bucket/bucket.ts";
import { collect, type CollectReport } from "../bucket/gc/collector.ts";
import { PackedRemote } from "../bucket/packed/packed-remote.ts";
import type { TimedCommit } from "../bucket/gc/effective-time.ts";
import type { RetentionRule } from "../bucket/gc/retention.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import type { Beginning } from "./beginning.ts";
import type { Sabotage } from "./sabotage.ts";

export interface CollectingOptions extends Pick<Ports, "clock" | "random"> {
  readonly store: ObjectStore;
  readonly beginning: Beginning;
  /** A writer for this collection only. */
  readonly writer: Writer;
  readonly sabotage: Sabotage | undefined;
}

/**
 * Protects no pack by its age: leases alone must protect uploads. Mostly collects however little it gains, since simulated
 * buckets are small. Throws as `collect`.
 */
export async function collectIn({
  store,
  clock,
  random,
  beginning,
  writer,
  sabotage,
}: CollectingOptions): Promise<CollectReport> {
  const { genesis, checks } = beginning;
  const remote = new PackedRemote(store, { clock, random });
  const forget = () => remote.forgetPlacement();
  const blocks = new RetryReader(new VerifiedReader(remote.blocks), { clock, random, forget });
  const bucket = await Bucket.open(withKnownGenesis(remote, genesis.bytes), { blocks, checks });
  const gain = random.fraction() < EAGER ? { leastGainBytes: -Infinity } : {};
  return collect({ bucket, store, writer, clock, random, youngMs: 0, ...gain, ...ruleOf(sabotage) });
}

/** Under sabotage, the rule of a collector that trusts each commit's own time. */
export function ruleOf(sabotage: Sabotage | undefined): { readonly rule?: RetentionRule } {
  if (sabotage !== "a collector that believes every clock") return {};
  const youngest = (commits: readonly TimedCommit[], nowNs: bigint) =>
    commits.filter(({ timeNs }, index) => index === commits.length - 1 || nowNs - timeNs < YOUNGEST_NS);
  return { rule: (commits, nowNs) => new Set(youngest(commits, nowNs).map(({ seq }) => seq)) };
}

/** The fraction of collections that ignore the gain. The others run only where they are worth it. */
const EAGER = 0.8;
const YOUNGEST_NS = 15n * 60_000_000_000n;
