/** A whole agent without kernel and threads: filesystem, overlay on a simulated disk, publisher. It can die and restart. */
import { HeldBase } from "../../src/agent/state/held-base.ts";
import type { Publisher } from "../../src/agent/publishing/publisher.ts";
import type { Ino } from "../../src/base/ids.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { SynclineError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import type { BucketRemote } from "../../src/bucket/remote.ts";
import { dataReaderOf } from "../../src/overlay/data/data-reader.ts";
import type { ContentsInUse } from "../../src/overlay/contents-in-use.ts";
import { openWithObjects } from "../../src/vfs/open-vfs.ts";
import type { VfsLimits } from "../../src/vfs/open-vfs.ts";
import type { Readers } from "../../src/vfs/filesystem.ts";
import type { Vfs } from "../../src/vfs/vfs.ts";
import { KernelMount } from "../../src/simulate/kernel-mount.ts";
import { simulatedPublisher } from "../../src/simulate/simulated-publisher.ts";
import { SimulatedDisk } from "../../src/simulate/disks/simulated-disk.ts";
import { newWriter, openBucket, seededStream } from "./test-bucket.ts";
import { lastingWriter } from "../../src/simulate/lasting-writer.ts";

/** Small, so that tests reach the limits. */
const LIMITS: Partial<VfsLimits> = {
  segmentBytes: 64 * 1024,
  frameBytes: 4096,
  checkpointBytes: 256 * 1024,
  cleanInodes: 12,
};

type Opened = ReturnType<typeof openWithObjects>;

/** A device, and the seed of the next one. */
type Writer = Awaited<ReturnType<typeof newWriter>> & { readonly seed: number };

export class SimulatedAgent {
  readonly name: string;
  mount: KernelMount;
  vfs: Vfs;
  #publisher: Publisher;
  #heldBase: HeldBase | undefined;
  readonly #bucket: Bucket;
  /** How often it replaced its device. */
  replaced = 0;
  #writer: Writer;
  readonly #clock: Clock;
  #disk: SimulatedDisk;
  #generation = 0;

  #objects: Opened["objects"];

  private constructor(name: string, bucket: Bucket, writer: Writer, clock: Clock, disk: SimulatedDisk, opened: Opened) {
    const { vfs, objects } = opened;
    this.#objects = objects;
    this.name = name;
    this.#bucket = bucket;
    this.#writer = writer;
    this.#clock = clock;
    this.#disk = disk;
    this.vfs = vfs;
    this.mount = new KernelMount(vfs);
    this.#publisher = this.#publish();
  }

  static async start(remote: BucketRemote, name: string, seed: number, clock: Clock): Promise<SimulatedAgent> {
    const bucket = await openBucket(remote);
    const disk = new SimulatedDisk();
    const writer = { ...(await newWriter(bucket, seed)), seed };
    return new SimulatedAgent(name, bucket, writer, clock, disk, await open(bucket, disk, clock));
  }

  /** Requests of the old process may still reach the bucket, but it no longer touches its overlay. */
  async restart(): Promise<void> {
    await this.restartOn(this.image());
  }

  /** Killed and replaced, while programs go on: they have the same files open as before. */
  async replace(readers: Readers = NO_READERS): Promise<void> {
    const held = [...this.#objects.held.inUse];
    await this.restartOn(this.image(), true);
    this.vfs.watchReaders(readers, { held, isComplete: true });
  }

  /** As `restart`; writes that were not synced are lost or torn. */
  async cutPower(seed: number): Promise<void> {
    await this.restartOn(this.#disk.afterPowerLoss(seededStream(seed)));
  }

  /** The state folder as it is now. */
  image(): SimulatedDisk {
    return this.#disk.afterKill();
  }

  async restartOn(disk: SimulatedDisk, goesOn = false): Promise<void> {
    this.#generation++;
    this.#disk = disk;
    ({ vfs: this.vfs, objects: this.#objects } = await open(this.#bucket, this.#disk, this.#clock, goesOn));
    this.mount = new KernelMount(this.vfs);
    this.#publisher = this.#publish();
  }

  /** Another agent on a copy of the state folder as it is now, including the device's key. */
  async copy(name: string, seed: number): Promise<SimulatedAgent> {
    const disk = this.image();
    const opened = await open(this.#bucket, disk, this.#clock);
    return new SimulatedAgent(name, this.#bucket, { ...this.#writer, seed }, this.#clock, disk, opened);
  }

  readonly flush = (): Promise<unknown> => this.#publisher.flush();

  catchUp(): Promise<unknown> {
    return this.#publisher.rootMoved();
  }

  /** Why the last flush did not reach the bucket. */
  get trouble(): SynclineError | undefined {
    return this.#publisher.state().lastError;
  }

  /** Whether the object has unpublished changes. */
  isChanged(ino: Ino): boolean {
    return this.#objects.overlay.state.object(ino) !== undefined;
  }

  get contentsInUse(): ContentsInUse {
    return this.#objects.contentsInUse();
  }

  /** The bytes of the state folder's files. */
  get stateBytes(): number {
    return this.#disk.used;
  }

  get base(): string {
    return this.vfs.baseState().commit;
  }

  async #replace(): Promise<Writer["writer"]> {
    this.replaced++;
    const seed = this.#writer.seed + 100 * this.replaced;
    this.#writer = { ...(await newWriter(this.#bucket, seed)), seed };
    return this.#writer.writer;
  }

  #publish(): Publisher {
    const generation = this.#generation;
    const alive = () => (generation === this.#generation ? Promise.resolve() : new Promise<void>(() => {}));
    const { bucket, random, log, writer } = this.#writer;
    this.#heldBase?.[Symbol.dispose]();
    this.#heldBase = new HeldBase({ remote: bucket.remote, clock: this.#clock, log });
    return simulatedPublisher({
      process: { alive, clock: this.#clock },
      heldBase: this.#heldBase,
      bucket,
      vfs: this.vfs,
      objects: this.#objects,
      writer: lastingWriter(writer, () => this.#replace()),
      data: dataReaderOf(this.#disk),
      random,
    });
  }
}

const NO_READERS: Readers = { has: () => false, all: () => [] };

async function open(bucket: Bucket, storage: SimulatedDisk, clock: Clock, goesOn = false): Promise<Opened> {
  const current = await bucket.current();
  if (current === undefined) throw new Error("the bucket has no root");
  const { cid: commit, body } = current.commit;
  const base = { commit, tree: body.tree, seq: body.seq };
  return openWithObjects({ storage, blocks: bucket.blocks, base, clock, log: silentLog, limits: LIMITS, goesOn });
}
