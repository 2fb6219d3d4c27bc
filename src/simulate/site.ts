/** What machines share, and how their processes reach it: a bucket in an object store, or at a master. */
import type { Clock } from "../base/clock.ts";
import type { WriterId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { CollectReport } from "../bucket/gc/collector.ts";
import type { LocalBlocks } from "../bucket/http/http-upload.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { BucketRemote } from "../bucket/remote.ts";
import type { LineOptions } from "./disks/faulty-line.ts";
import type { SimulatedProcess } from "./process.ts";

export interface Site extends Disposable {
  /** The bucket as checks read it, without faults on the way. */
  readonly checked: BucketRemote;
  /** The bucket as processes read it. For use while no faults are injected. */
  readonly served: BucketRemote;
  /** The server between the machines and the bucket, which can fail by itself; undefined if there is none. */
  readonly server: Server | undefined;
  reach(way: Way): Reach;
  /** Reports damage to what the site stores; call it once all is at rest. */
  audit(): Promise<string[]>;
}

/** A server on a machine of its own, and the faults that can befall it. */
export interface Server {
  /** Whether it serves or is about to. */
  readonly isRunning: boolean;
  /** False if it does not start: its disk is full, or it was killed meanwhile. */
  start(): Promise<boolean>;
  kill(): void;
  /** As `kill`; writes that were not synced are lost or torn. */
  cutPower(): void;
  fillDisk(isFull: boolean): void;
}

/** The connection between a machine's process and the place it publishes to. */
export interface Way extends Omit<LineOptions, "clock" | "isDead"> {
  readonly process: SimulatedProcess;
  /** Called when the sender of a swap will never get its outcome. */
  readonly onMissingReply: () => void;
}

export interface Reach {
  /** Opens the bucket as an agent does. */
  open(options: {
    readonly writer: () => WriterId;
    readonly local: LocalBlocks;
    readonly pollMs: number;
  }): BucketRemote;
  /** Collects as `syncline gc` does, and throws the same errors. */
  collect(options: { readonly clock: Clock; readonly random: Random; readonly writer: Writer }): Promise<CollectReport>;
}
