/**
 * A machine with a disk on which an agent runs, without kernel and threads. Filesystem, overlay, flushes and publishing are
 * the real code. Its process can be killed or lose power, and restarts from its disk.
 */
import { withKnownGenesis } from "../agent/open-bucket.ts";
import { FlushSchedule } from "../agent/publishing/flush-schedule.ts";
import type { Publisher } from "../agent/publishing/publisher.ts";
import { HeldBase } from "../agent/state/held-base.ts";
import type { SynclineError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import { CachedReader } from "../blocks/cached-reader.ts";
import { DiskBlockCache } from "../blocks/disk-block-cache.ts";
import { RetryReader } from "../blocks/retry-reader.ts";
import { VerifiedReader } from "../blocks/verified-reader.ts";
import { Bucket } from "../bucket/bucket.ts";
import { cachingRemote } from "../bucket/caching-remote.ts";
import type { CollectReport } from "../bucket/gc/collector.ts";
import type { PublishContext } from "../bucket/publish.ts";
import type { MergeSnapshots } from "../bucket/publish/workspace.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import type { BaseRoot } from "../overlay/journal/journal-record.ts";
import { dataReaderOf } from "../overlay/data/data-reader.ts";
import { openWithObjects, type VfsLimits } from "../vfs/open-vfs.ts";
import type { Vfs } from "../vfs/vfs.ts";
import type { ContentConfig } from "../content/config.ts";
import { DoorViews } from "../vfs/door-views.ts";
import type { Beginning } from "./beginning.ts";
import { DavClient } from "./dav-client.ts";
import { DavDoor, DavState } from "./dav-door.ts";
import { tellingRemovals } from "./judges/telling-removals.ts";
import { KernelMount } from "./kernel-mount.ts";
import { limited, overheard } from "./altered-remote.ts";
import { SimulatedProcess } from "./process.ts";
import { SimulatedCacheDisk } from "./disks/simulated-cache-disk.ts";
import { SimulatedDisk } from "./disks/simulated-disk.ts";
import { type EpochEvent, type PublisherParts, simulatedPublisher } from "./simulated-publisher.ts";
import type { Reach } from "./site.ts";
import type { Timeline } from "./timeline.ts";
import { lastingWriter } from "./lasting-writer.ts";

/** Small, so that tests reach the limits. */
const LIMITS: Partial<VfsLimits> = {
  segmentBytes: 64 * 1024,
  frameBytes: 4096,
  checkpointBytes: 256 * 1024,
  cleanInodes: 12,
  readTimeoutMs: 5_000,
};
const POLL_MS = 1_000;
/** So small that segments are evicted. */
const CACHE_BYTES = 24 * 1024;

export interface MachineOptions {
  readonly name: string;
  readonly timeline: Timeline;
  readonly random: Random;
  /** How a process on this machine reaches the bucket. */
  readonly reach: (process: SimulatedProcess) => Reach;
  /** Certifies devices. */
  readonly certify: () => Promise<Writer>;
  readonly beginning: Beginning;
  /** The root that the machine begins with. */
  readonly root: BaseRoot;
  readonly merge: MergeSnapshots;
  /** How far its clock is ahead of the world's clock. */
  readonly skewMs: number;
  /** Whether its agents have a second mount and WebDAV, too. */
  readonly hasDoors: boolean;
  /** Whether its doors get no invalidations from each other. */
  readonly hasDeafDoors: boolean;
  /** Called with the contents of a file whose last name a WebDAV request removed without naming the version it saw. */
  readonly onRemoved: (contents: Buffer) => void;
  readonly forgetsConditions: boolean;
  /** Whether its agents wait for ever for a new device when the bucket has another epoch of theirs. */
  readonly getsNoDevice: boolean;
  /** Whether its disk reports syncs that it did not make. */
  readonly forgetsSyncs: boolean;
  /** What its disk returns for a read: sometimes with a flipped bit. */
  readonly flipped: (bytes: Uint8Array) => Uint8Array;
  /** Replaces the block cache's check of blocks; undefined: the real check. */
  readonly isIntact: (() => boolean) | undefined;
  /** Called when the outcome of a publisher's swap stays unknown. */
  readonly onUnknownSwap: () => void;
  /** Whether the bucket refuses an upload of the agent, because it is full. */
  readonly refusesUploads: () => boolean;
  /** Called when an epoch is sealed, and when it is in the bucket. */
  readonly onEpoch: (event: EpochEvent, epoch: number) => void;
}

interface OtherDoors {
  readonly mount: KernelMount;
  readonly webdav: DavClient;
}

/** What lives as long as a process. */
interface Running {
  readonly process: SimulatedProcess;
  readonly reach: Reach;
  readonly cache: DiskBlockCache;
  readonly vfs: Vfs;
  readonly mount: KernelMount;
  readonly others: OtherDoors | undefined;
  readonly publisher: Publisher;
  readonly schedule: FlushSchedule;
}

export class Machine {
  readonly name: string;
  readonly #options: MachineOptions;
  #disk = new SimulatedDisk();
  #cacheDisk: SimulatedCacheDisk;
  #davState = new DavState();
  #isFull = false;
  #writer: Writer | undefined;
  #running: Running | undefined;

  constructor(options: MachineOptions) {
    this.name = options.name;
    this.#options = options;
    const { random, flipped } = options;
    this.#cacheDisk = new SimulatedCacheDisk({ random, flipped, isFull: () => this.#isFull });
    this.#use(new SimulatedDisk());
  }

  /** Undefined while no agent runs. */
  get mount(): KernelMount | undefined {
    return this.#running?.mount;
  }

  get otherDoors(): OtherDoors | undefined {
    return this.#running?.others;
  }

  get process(): SimulatedProcess | undefined {
    return this.#running?.process;
  }

  get vfs(): Vfs | undefined {
    return this.#running?.vfs;
  }

  /** Why the last flush did not reach the bucket. */
  get trouble(): SynclineError | undefined {
    return this.#running?.publisher.state().lastError;
  }

  /** The root that it shows; undefined while it is not running. */
  get base(): string | undefined {
    return this.vfs?.baseState().commit;
  }

  /** Whether every change made here is in the bucket. */
  get isPublished(): boolean {
    return this.vfs?.pending().files === 0 && this.trouble === undefined;
  }

  /** Starts an agent, which works without an answer from the store. */
  async start(): Promise<void> {
    const { timeline, random, certify, beginning, root, merge, skewMs } = this.#options;
    const process = new SimulatedProcess(timeline, skewMs);
    const { clock } = process;
    const reach = this.#options.reach(process);
    const writer = (this.#writer ??= await certify());
    const cache = this.#cache();
    const id = () => (this.#writer ?? writer).device.writer;
    const remote = reach.open({ writer: id, local: cache, pollMs: POLL_MS });
    const verified = new RetryReader(new VerifiedReader(remote.blocks), {
      clock,
      random,
      forget: () => remote.forgetPlacement?.(),
      doubt: (cids) => remote.doubt?.(cids),
    });
    const blocks = new CachedReader(cache, verified);
    const { genesis, checks } = beginning;
    const cached = cachingRemote(withKnownGenesis(remote, genesis.bytes), cache);
    const finite = limited(cached, this.#options.refusesUploads);
    const bucket = await Bucket.open(overheard(finite, this.#options.onUnknownSwap), { blocks, checks });
    const opening = { storage: this.#disk, blocks, base: root, clock, log: silentLog, limits: LIMITS, random };
    const { vfs, objects } = openWithObjects(opening);
    const heldBase = new HeldBase({ remote, clock, log: silentLog });
    const publisher = this.#publisher({ process, heldBase, bucket, vfs, objects }, writer, merge);
    const schedule = new FlushSchedule(process.clock, () => publisher.flush());
    vfs.onDirty((reason) => schedule.note(reason));
    remote.watch(() => void publisher.rootMoved().then(({ again }) => again && schedule.note("close")));
    schedule.note("urgent");
    const doors = this.#openDoors(vfs, bucket.contentConfig, process);
    this.#running = { process, reach, cache, vfs, ...doors, publisher, schedule };
  }

  /** Collects as `syncline gc` does, in the agent's process. Throws as `collect`. */
  async collect(): Promise<CollectReport | undefined> {
    if (this.#running === undefined) return undefined;
    const { random, certify } = this.#options;
    const { reach, process } = this.#running;
    return reach.collect({ clock: process.clock, random, writer: await certify() });
  }

  /** A bucket and a device for a command beside the agent. The command dies with the agent's process. */
  async commandContext(): Promise<Omit<PublishContext, "log"> | undefined> {
    if (this.#running === undefined) return undefined;
    const { random, certify, beginning } = this.#options;
    const { reach, process, cache } = this.#running;
    const { clock } = process;
    const writer = await certify();
    const remote = reach.open({ writer: () => writer.device.writer, local: cache, pollMs: POLL_MS });
    const forget = () => remote.forgetPlacement?.();
    const blocks = new RetryReader(new VerifiedReader(remote.blocks), { clock, random, forget });
    const { genesis, checks } = beginning;
    const known = overheard(withKnownGenesis(remote, genesis.bytes), this.#options.onUnknownSwap);
    return { bucket: await Bucket.open(known, { blocks, checks }), writer, clock, random };
  }

  /** Ends the process at once; requests that it sent may still arrive. */
  kill(): void {
    this.#end();
    this.#cacheDisk = this.#cacheDisk.afterKill();
    this.#use(this.#disk.afterKill());
  }

  /** As `kill`; writes that were not synced are lost or torn. */
  cutPower(): void {
    this.#end();
    this.#cacheDisk = this.#cacheDisk.afterPowerLoss();
    this.#use(this.#disk.afterPowerLoss(this.#options.random));
  }

  /** Makes an image of its disk. The result puts the image back, under a process that runs or not. */
  snapshot(): () => void {
    const [disk, cacheDisk, writer] = [this.#disk.afterKill(), this.#cacheDisk.afterKill(), this.#writer];
    const dav = this.#davState.copy();
    return () => {
      this.#end();
      this.#writer = writer;
      this.#cacheDisk = cacheDisk;
      this.#davState = dav;
      this.#use(disk);
    };
  }

  /** While the disk is full, nothing more fits. */
  fillDisk(isFull: boolean): void {
    this.#isFull = isFull;
    this.#disk.capacity = isFull ? this.#disk.used : Infinity;
  }

  #use(disk: SimulatedDisk): void {
    this.#disk = disk;
    disk.forgetsSyncs = this.#options.forgetsSyncs;
    let isFirst = true;
    // A reader could not tell a torn end from a bit that flips on every read.
    disk.flipped = (bytes) => {
      const read = isFirst ? this.#options.flipped(bytes) : bytes;
      isFirst &&= read === bytes;
      return read;
    };
    this.fillDisk(this.#isFull);
  }

  #openDoors(vfs: Vfs, contentConfig: ContentConfig, { clock }: SimulatedProcess) {
    const { hasDoors, hasDeafDoors, random, forgetsConditions, onRemoved } = this.#options;
    if (!hasDoors) return { mount: new KernelMount(vfs), others: undefined };
    const views = new DoorViews(vfs);
    const mounts = [
      new KernelMount(vfs, views),
      new KernelMount(vfs, hasDeafDoors ? new DoorViews(vfs) : views),
    ] as const;
    vfs.onInvalidate((changes) => {
      for (const mount of mounts) mount.invalidate(changes);
    });
    let isCareful = false;
    const fs = tellingRemovals(views.open().fs, (contents, isSymlink) => {
      // Over WebDAV a symlink looks like its target.
      if (!isCareful || isSymlink) onRemoved(contents);
    });
    const door = new DavDoor({ fs, contentNames: vfs, contentConfig, clock, random, state: this.#davState });
    // The door finishes what a killed process left unfinished as it opens.
    const client = {
      door,
      clock,
      random,
      forgetsConditions,
      isCareful: (careful: boolean) => void (isCareful = careful),
    };
    return { mount: mounts[0], others: { mount: mounts[1], webdav: new DavClient(client) } };
  }

  #cache(): DiskBlockCache {
    const { isIntact } = this.#options;
    return new DiskBlockCache({
      dir: this.name,
      bytes: CACHE_BYTES,
      log: silentLog,
      storage: this.#cacheDisk,
      ...(isIntact === undefined ? {} : { isIntact }),
    });
  }

  #end(): void {
    this.#running?.process.kill();
    this.#running = undefined;
  }

  #publisher(
    parts: Pick<PublisherParts, "process" | "heldBase" | "bucket" | "vfs" | "objects">,
    writer: Writer,
    merge: MergeSnapshots,
  ): Publisher {
    const { random, onEpoch, certify, getsNoDevice } = this.#options;
    const another = async () => (this.#writer = await (getsNoDevice ? new Promise<never>(() => {}) : certify()));
    return simulatedPublisher({
      ...parts,
      writer: lastingWriter(writer, another),
      merge,
      data: dataReaderOf(this.#disk),
      random,
      onEpoch,
    });
  }
}
