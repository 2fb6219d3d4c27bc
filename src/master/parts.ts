/** What a master's routes share: made once in master.ts, and passed to each list of routes. */
import type { Ports } from "../base/ports.ts";
import type { RootStore } from "../roots/root-store.ts";
import type { Quota } from "./account/quota.ts";
import type { PublicSearch } from "./blocks/public-search.ts";
import type { Slabs } from "./blocks/slabs.ts";
import type { Collector } from "./gc/collector.ts";
import type { Bearers } from "./http/bearers.ts";
import type { OpenStreams } from "./http/open-streams.ts";
import type { Garbage } from "../runtime/garbage.ts";
import type { Metrics } from "./http/metrics.ts";
import type { RevocationList } from "./storage.ts";
import type { FairBudget } from "../http/fair-budget.ts";
import type { QuotaGate } from "./ingest/quota-gate.ts";
import type { BucketRoots } from "./roots/bucket-roots.ts";
import type { RootAlarm } from "./roots/root-alarm.ts";
import type { BlockStores } from "./store/owner-blocks.ts";

export interface MasterParts extends Ports {
  readonly stores: BlockStores;
  readonly roots: RootStore;
  readonly alarm: RootAlarm;
  readonly bucketRoots: BucketRoots;
  readonly collector: Collector;
  readonly bearers: Bearers;
  readonly revocations: RevocationList;
  readonly endings: OpenStreams;
  readonly quota: Quota;
  readonly quotaGate: QuotaGate | undefined;
  /** Memory of incoming bodies, and of outgoing blocks. */
  readonly bodies: FairBudget;
  readonly answers: FairBudget;
  /** Memory of walks below blocks, in steps of WALK_STEP_CIDS. */
  readonly walks: FairBudget;
  readonly search: PublicSearch;
  /** Of CAR_BATCH_BYTES, and of ANSWER_BATCH_BYTES. */
  readonly slabs: Slabs;
  readonly answerSlabs: Slabs;
  readonly garbage: Garbage;
  readonly metrics: Metrics;
  /** All masters of the same buckets; empty: it names none. */
  readonly masters: readonly string[];
  readonly publicBlocks: boolean;
  readonly compareAndSwap: boolean;
  readonly version: string;
}
