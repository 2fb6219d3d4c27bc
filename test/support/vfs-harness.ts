/** A filesystem over a bucket's tree in memory and a simulated disk: publishes, lets other agents publish, restarts. */
import { EarlyCutting } from "../../src/agent/publishing/early-cutting.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Cid, Lamport } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Random } from "../../src/base/random.ts";
import { rootDirectoryTree } from "../../src/bucket/bucket.ts";
import { rebaseEpoch, type RebasedEpoch } from "../../src/fstree/rebase/rebase.ts";
import type { ChangeSet, DataReader, NewBase, PublishedEpoch } from "../../src/fstree/change-set.ts";
import { differences } from "../../src/fstree/differences.ts";
import { ChunkCache } from "../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../src/content/config.ts";
import type { ContentConfig } from "../../src/content/config.ts";
import type { ContentSource } from "../../src/content/source.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { dataReaderOf, liveReaderOf } from "../../src/overlay/data/data-reader.ts";
import { createTreeConfig } from "../../src/tree/boundary.ts";
import { editTree } from "../../src/tree/edit.ts";
import type { Edit } from "../../src/tree/entry.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import type { Invalidations } from "../../src/vfs/filesystem.ts";
import type { Objects } from "../../src/vfs/objects.ts";
import type { VfsLimits } from "../../src/vfs/open-vfs.ts";
import { openWithObjects } from "../../src/vfs/open-vfs.ts";
import { BlockMap } from "./block-map.ts";
import { SimulatedDisk } from "../../src/simulate/disks/simulated-disk.ts";
import { ManualClock } from "./manual-clock.ts";
import { VfsDriver } from "../../src/simulate/vfs-driver.ts";

/** Small, so that tests reach every limit. */
const LIMITS: Partial<VfsLimits> = { segmentBytes: 64 * 1024, frameBytes: 4096, checkpointBytes: 256 * 1024 };

interface Root {
  readonly commit: Cid;
  readonly tree: Cid;
  readonly seq: Lamport;
}

export class VfsHarness extends VfsDriver {
  readonly blocks: BlockMap;
  readonly clock: Clock;
  /** The parts of the filesystem. */
  objects: Objects;
  disk: SimulatedDisk;
  readonly #limits: Partial<VfsLimits>;
  readonly #nodes: NodeStore;
  readonly #content: ChunkCache;
  readonly #treeConfig = createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 });
  readonly contentConfig: ContentConfig;
  /** Cuts files into chunks while they are written, if the limits allow it. */
  early: EarlyCutting;
  /** Bytes of data files that were read to build epochs. */
  dataRead = 0;
  readonly #trees = new Map<Cid, Cid>();
  readonly invalidations: Invalidations[] = [];
  root: Root;

  private constructor(
    root: Root,
    blocks: BlockMap,
    limits: Partial<VfsLimits>,
    clock: Clock,
    contentConfig: ContentConfig,
  ) {
    const disk = new SimulatedDisk();
    const { vfs, objects } = openWithObjects({ storage: disk, blocks, clock, base: root, log: silentLog, limits });
    super(vfs);
    this.objects = objects;
    this.root = root;
    this.blocks = blocks;
    this.disk = disk;
    this.clock = clock;
    this.#limits = limits;
    this.#nodes = new NodeStore(blocks, { capacityBytes: 64 * 1024 * 1024 });
    this.#content = new ChunkCache(blocks, { capacityBytes: 16 * 1024 * 1024 });
    this.#trees.set(root.commit, root.tree);
    this.contentConfig = contentConfig;
    this.early = this.#listen();
  }

  /** `edits`: rows of the first root's tree, in the order of their keys. */
  static async create(
    limits: Partial<VfsLimits> = {},
    clock: Clock = new ManualClock(),
    content: ContentConfig = createContentConfig(),
    edits: readonly Edit[] = [],
  ): Promise<VfsHarness> {
    const blocks = new BlockMap();
    const nodes = new NodeStore(blocks, { capacityBytes: 1024 * 1024 });
    const config = createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 });
    const empty = await rootDirectoryTree(nodes, blocks, config, { mode: 0o755, uid: 0, gid: 0, timeNs: 1n });
    const tree = await editTree(nodes, blocks, config, empty, edits);
    const root = { commit: fakeCommit(1), tree, seq: 1 as Lamport };
    return new VfsHarness(root, blocks, { ...LIMITS, ...limits }, clock, content);
  }

  /** Seals and builds; returns the argument for `published`. */
  async build(): Promise<(PublishedEpoch & Pick<RebasedEpoch, "objects">) | undefined> {
    const changes = this.vfs.seal();
    if (changes === undefined) return undefined;
    await this.vfs.sync();
    const built = await this.#build(changes, this.disk);
    const base = await this.#newRoot(built.ours, built.ours);
    return { epoch: changes.epoch, objects: built.objects, base: { ...base, changes: built.unseen } };
  }

  /** Publishes the changes, with no other agent's root in between. */
  async publish(): Promise<void> {
    const result = await this.build();
    if (result === undefined) return;
    this.finish(result);
  }

  /** Marks the epoch as published. */
  finish(result: PublishedEpoch): void {
    this.stand(result.base);
    this.vfs.published(result);
    this.early.forget(result.epoch);
  }

  /** The content source for published contents. */
  get content(): ContentSource {
    return this.#content;
  }

  /** Another agent on the same root makes changes and publishes them; this one makes the result its root. */
  async others(work: (other: VfsHarness) => Promise<void>): Promise<NewBase> {
    const other = new VfsHarness(this.root, this.blocks, this.#limits, this.clock, this.contentConfig);
    await work(other);
    const changes = other.vfs.seal();
    if (changes === undefined) throw new Error("the other agent changed nothing");
    const { ours } = await other.#build(changes, other.disk);
    const base = await this.#newRoot(this.root.tree, ours);
    this.stand(base);
    return base;
  }

  /** Advances a manual clock. */
  async advance(ms: number): Promise<void> {
    if (this.clock instanceof ManualClock) await this.clock.advance(ms);
  }

  /** Makes everything survive power loss. */
  async syncAll(): Promise<void> {
    for (const path of (await this.snapshot()).keys()) await this.vfs.fsync(await this.ino(path));
    await this.vfs.sync();
  }

  /** Kills the process and starts another one: with what was committed, or with what survives power loss. */
  restart(powerLoss?: Random): void {
    this.disk = powerLoss === undefined ? this.disk.afterKill() : this.disk.afterPowerLoss(powerLoss);
    const { disk: storage, blocks, clock, root: base } = this;
    const { vfs, objects } = openWithObjects({ storage, blocks, clock, base, log: silentLog, limits: this.#limits });
    this.vfs = vfs;
    this.objects = objects;
    this.early = this.#listen();
  }

  /** Makes what was published the root. */
  stand({ commit, tree, seq }: NewBase): void {
    this.root = { commit, tree, seq };
    this.#trees.set(commit, tree);
  }

  #listen(): EarlyCutting {
    const { vfs, clock } = this;
    vfs.onInvalidate((changes) => this.invalidations.push(changes));
    const early = new EarlyCutting({
      source: this.#content,
      config: this.contentConfig,
      read: liveReaderOf(this.disk),
      isSteady: async (beginning) => vfs.isSteady(beginning),
      runLow: (work) => work(),
      clock,
      log: silentLog,
    });
    vfs.onBegun((file) => early.note(structuredClone(file)));
    return early;
  }

  /** Reads the data of sealed epochs, and counts the bytes read. */
  #reader(disk: SimulatedDisk): DataReader {
    const data = dataReaderOf(disk);
    return this.early.over({
      readData: (ino, epoch, offset, length, target) => {
        this.dataRead += length;
        return data.readData(ino, epoch, offset, length, target);
      },
    });
  }

  /** Seals, and builds with these blocks and trees alone. Publishes nothing. Undefined: nothing waits. */
  async buildWith(blocks: BlockMap, trees: readonly Cid[]): Promise<RebasedEpoch | undefined> {
    const changes = this.vfs.seal();
    if (changes === undefined) return undefined;
    await this.vfs.sync();
    const nodes = new NodeStore(blocks, { capacityBytes: 64 * 1024 * 1024 });
    const content = new ChunkCache(blocks, { capacityBytes: 16 * 1024 * 1024 });
    return this.#build(changes, this.disk, { nodes, content, blocks, trees });
  }

  #build(changes: ChangeSet, disk: SimulatedDisk, stores: Stores = this.#stores()) {
    const reference = this.#trees.get(changes.reference);
    if (reference === undefined) throw new Error("the reference is no known commit");
    const { trees, ...rest } = stores;
    const context = {
      ...rest,
      sink: rest.blocks,
      treeConfig: this.#treeConfig,
      contentConfig: this.contentConfig,
      olderTrees: () => newestFirst(trees),
    };
    return rebaseEpoch(context, reference, changes, this.#reader(disk));
  }

  #stores(): Stores {
    return { nodes: this.#nodes, content: this.#content, blocks: this.blocks, trees: [...this.#trees.values()] };
  }

  async #newRoot(from: Cid, tree: Cid): Promise<NewBase> {
    const seq = (this.root.seq + 1) as Lamport;
    return { commit: fakeCommit(seq), tree, seq, changes: await differences(this.#nodes, from, tree) };
  }
}

interface Stores {
  readonly nodes: NodeStore;
  readonly content: ChunkCache;
  readonly blocks: BlockMap;
  /** The oldest first. */
  readonly trees: readonly Cid[];
}

async function* newestFirst(trees: readonly Cid[]): AsyncGenerator<Cid> {
  yield* trees.toReversed();
}

function fakeCommit(seq: number): Cid {
  return cidOf("dag-cbor", Buffer.from(`commit ${seq}`));
}
