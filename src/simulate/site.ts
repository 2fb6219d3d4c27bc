/** What machines share, and how their processes get there: a bucket in an object store, or at a master. */
import type { Clock } from "../base/clock.ts";
import type { WriterId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { CollectReport } from "../bucket/gc/collector.ts";
import type { LocalBlocks } from "../bucket/http/http-upload.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { BucketRemote } from "../bucket/remote.ts";
import type { FaultCounts } from "./fault-counts.ts";
import type { SimulatedProcess } from "./process.ts";
import type { LinkChances } from "./disks/simulated-link.ts";

export interface Site extends Disposable {
  /** The bucket for those who check it, whatever goes wrong on the way there. */
  readonly checked: BucketRemote;
  /** The same as the way there shows it. To be asked while nothing goes wrong. */
  readonly served: BucketRemote;
  /** What stands between the machines and the bucket, and can fail by itself; undefined where nothing does. */
  readonly server: Server | undefined;
  reach(way: Way): Reach;
  /** What is wrong with what it keeps; once all is at rest. */
  audit(): Promise<string[]>;
}

/** A server on a machine of its own, and what can go wrong with it. */
export interface Server {
  /** It serves, or is about to. */
  readonly isRunning: boolean;
  /** False when it does not start: its disk is full, or it was killed meanwhile. */
  start(): Promise<boolean>;
  kill(): void;
  /** As `kill`, and what was not synced is lost or torn. */
  cutPower(): void;
  fillDisk(isFull: boolean): void;
}

/** Between a machine's process and what it publishes to. */
export interface Way {
  readonly process: SimulatedProcess;
  readonly random: Random;
  readonly counts: FaultCounts;
  readonly chances: () => LinkChances;
  /** Whether nothing gets through now. */
  readonly isCut: () => boolean;
  /** Told when a request will arrive whose sender waits for it no more, or that arrived before. */
  readonly onLate: (atMs: number) => void;
  /** Told when the sender of a swap will never hear what became of it. */
  readonly onMissingReply: () => void;
}

export interface Reach {
  /** As an agent opens the bucket. */
  open(options: { readonly writer: WriterId; readonly local: LocalBlocks; readonly pollMs: number }): BucketRemote;
  /** As `syncline gc`. Throws as that. */
  collect(options: { readonly clock: Clock; readonly random: Random; readonly writer: Writer }): Promise<CollectReport>;
}
