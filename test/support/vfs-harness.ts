/**
 * A filesystem over a bucket's tree in memory and a simulated disk: publishes, lets others publish, stops and starts again.
 *
 * Paths are text without a leading slash; "" is the root directory.
 */
import type { Clock } from "../../src/base/clock.ts";
import type { Cid, FileName, Ino, Lamport } from "../../src/base/ids.ts";
import { ROOT_INO } from "../../src/base/ids.ts";
import { silentLog } from "../../src/base/log.ts";
import { nameFromText, nameToText } from "../../src/base/names.ts";
import type { Random } from "../../src/base/random.ts";
import { BlockMiss } from "../../src/blocks/block-store.ts";
import { rootDirectoryTree } from "../../src/bucket/bucket.ts";
import { buildEpoch } from "../../src/bucket/build.ts";
import type { ChangeSet, NewBase, PublishedEpoch } from "../../src/bucket/change-set.ts";
import { differences } from "../../src/bucket/differences.ts";
import { ChunkCache } from "../../src/content/chunk-cache.ts";
import { createContentConfig } from "../../src/content/config.ts";
import { cidOf } from "../../src/format/cid.ts";
import { dataReaderOf } from "../../src/overlay/data-reader.ts";
import { createTreeConfig } from "../../src/tree/boundary.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import type { Attributes, Invalidations } from "../../src/vfs/filesystem.ts";
import type { VfsLimits } from "../../src/vfs/open-vfs.ts";
import { openVfs } from "../../src/vfs/open-vfs.ts";
import type { Vfs } from "../../src/vfs/vfs.ts";
import { BlockMap } from "./block-map.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { ManualClock } from "./manual-clock.ts";

export const CALLER = { uid: 0, gid: 0 };

/** Small, so that tests meet every border. */
const LIMITS: Partial<VfsLimits> = { segmentBytes: 64 * 1024, frameBytes: 4096, checkpointBytes: 256 * 1024 };

interface Root {
  readonly commit: Cid;
  readonly tree: Cid;
  readonly seq: Lamport;
}

export class VfsHarness {
  readonly blocks = new BlockMap();
  readonly clock: Clock;
  disk = new SimulatedDisk();
  readonly #limits: Partial<VfsLimits>;
  readonly #nodes = new NodeStore(this.blocks, { capacityBytes: 64 * 1024 * 1024 });
  readonly #content = new ChunkCache(this.blocks, { capacityBytes: 16 * 1024 * 1024 });
  readonly #treeConfig = createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 });
  readonly #contentConfig = createContentConfig();
  readonly #trees = new Map<Cid, Cid>();
  readonly invalidations: Invalidations[] = [];
  root: Root;
  vfs: Vfs;

  private constructor(root: Root, blocks: BlockMap, limits: Partial<VfsLimits>, clock: Clock) {
    this.root = root;
    this.#limits = { ...LIMITS, ...limits };
    this.clock = clock;
    for (const [cid, bytes] of blocks.held) this.blocks.put({ cid, bytes });
    this.#trees.set(root.commit, root.tree);
    this.vfs = this.#open();
  }

  static async create(limits: Partial<VfsLimits> = {}, clock: Clock = new ManualClock()): Promise<VfsHarness> {
    const blocks = new BlockMap();
    const nodes = new NodeStore(blocks, { capacityBytes: 1024 * 1024 });
    const config = createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 });
    const tree = await rootDirectoryTree(nodes, blocks, config, { mode: 0o755, uid: 0, gid: 0, timeNs: 1n });
    return new VfsHarness({ commit: fakeCommit(1), tree, seq: 1 as Lamport }, blocks, limits, clock);
  }

  /** Calls until no block is missing. */
  async run<Result>(call: (vfs: Vfs) => Result): Promise<Result> {
    for (;;) {
      try {
        return call(this.vfs);
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        await this.vfs.load(error.cids);
      }
    }
  }

  /** The attributes of what is at a path. */
  async find(path: string): Promise<Attributes | undefined> {
    let at: Attributes | undefined = await this.run((vfs) => vfs.getAttributes(ROOT_INO));
    for (const part of path.split("/").filter(Boolean)) {
      const parent: Attributes | undefined = at;
      if (parent === undefined) return undefined;
      at = await this.run((vfs) => vfs.lookup(parent.ino, nameFromText(part)));
    }
    return at;
  }

  async ino(path: string): Promise<Ino> {
    const found = await this.find(path);
    if (found === undefined) throw new Error(`there is no ${path}`);
    return found.ino;
  }

  /** The directory of a path and the name in it. */
  async place(path: string): Promise<readonly [Ino, FileName]> {
    const parts = path.split("/");
    const name = nameFromText(parts.pop() ?? "");
    return [await this.ino(parts.join("/")), name];
  }

  async make(path: string, text?: string): Promise<Ino> {
    const [parent, name] = await this.place(path);
    const { ino } = await this.run((vfs) => vfs.makeNode(parent, name, 0o100644, 0, CALLER));
    if (text !== undefined) await this.write(ino, 0, text);
    return ino;
  }

  async makeDirectory(path: string): Promise<Ino> {
    const [parent, name] = await this.place(path);
    return (await this.run((vfs) => vfs.makeDirectory(parent, name, 0o755, CALLER))).ino;
  }

  async unlink(path: string): Promise<void> {
    const [parent, name] = await this.place(path);
    await this.run((vfs) => vfs.unlink(parent, name));
  }

  async rename(from: string, to: string, flags = 0): Promise<void> {
    const [parent, name] = await this.place(from);
    const [newParent, newName] = await this.place(to);
    await this.run((vfs) => vfs.rename(parent, name, newParent, newName, flags));
  }

  async write(ino: Ino, offset: number, bytes: string | Uint8Array): Promise<void> {
    const data = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    await this.run((vfs) => vfs.write(ino, offset, data));
  }

  async read(ino: Ino, offset = 0, length = 1 << 20): Promise<Buffer> {
    const target = Buffer.alloc(length);
    return target.subarray(0, await this.run((vfs) => vfs.read(ino, offset, length, target)));
  }

  async text(path: string): Promise<string> {
    return (await this.read(await this.ino(path))).toString();
  }

  /** Names in a directory, without the dots, read `batch` at a time. */
  async list(path: string, batch = 1_000): Promise<string[]> {
    const ino = await this.ino(path);
    const names: string[] = [];
    for (let cookie = 0, more = true; more;) {
      more = false;
      let left = batch;
      const emit = (entry: { name: FileName; next: number }) => {
        if (left-- === 0) return false;
        more = true;
        cookie = entry.next;
        names.push(nameToText(entry.name));
        return true;
      };
      const before = cookie;
      try {
        this.vfs.readDirectory(ino, before, true, emit);
      } catch (error) {
        if (!(error instanceof BlockMiss)) throw error;
        await this.vfs.load(error.cids);
        more = true;
      }
    }
    return names.filter((name) => name !== "." && name !== "..");
  }

  /** Everything that the filesystem shows: path → what it is. Inode numbers stand for hard links. */
  async snapshot(): Promise<Map<string, string>> {
    const seen = new Map<string, string>();
    const walk = async (path: string): Promise<void> => {
      const at = await this.find(path);
      if (at === undefined) throw new Error(`the listing names ${path}, the lookup does not find it`);
      seen.set(path, await this.#describe(at));
      if ((at.mode & S_IFMT) !== S_IFDIR) return;
      for (const name of await this.list(path, 7)) await walk(path === "" ? name : `${path}/${name}`);
    };
    await walk("");
    return seen;
  }

  /** Seals and builds; what `published` wants. */
  async build(): Promise<PublishedEpoch | undefined> {
    const changes = this.vfs.seal();
    if (changes === undefined) return undefined;
    await this.vfs.sync();
    const built = await this.#build(changes, this.disk);
    return { epoch: changes.epoch, objects: built.objects, base: await this.#newRoot(built.ours, built.ours) };
  }

  /** Publishes what changed, with nothing of others' in between. */
  async publish(): Promise<void> {
    const result = await this.build();
    if (result === undefined) return;
    this.#stand(result.base);
    this.vfs.published(result);
  }

  /** Another agent on the same root does something and publishes it; this one adopts it. */
  async others(work: (other: VfsHarness) => Promise<void>): Promise<NewBase> {
    const other = new VfsHarness(this.root, this.blocks, this.#limits, this.clock);
    await work(other);
    const changes = other.vfs.seal();
    if (changes === undefined) throw new Error("the other agent changed nothing");
    const { ours } = await other.#build(changes, other.disk);
    for (const [cid, bytes] of other.blocks.held) this.blocks.put({ cid, bytes });
    const base = await this.#newRoot(this.root.tree, ours);
    this.#stand(base);
    return base;
  }

  /** Makes everything survive power loss. */
  async syncAll(): Promise<void> {
    for (const path of (await this.snapshot()).keys()) await this.vfs.fsync(await this.ino(path));
    await this.vfs.sync();
  }

  /** The process dies, and another one begins: with what was committed, or with what survives power loss. */
  restart(powerLoss?: Random): void {
    this.disk = powerLoss === undefined ? this.disk.afterKill() : this.disk.afterPowerLoss(powerLoss);
    this.vfs = this.#open();
  }

  #open(): Vfs {
    const { disk: storage, blocks, clock, root: base } = this;
    const vfs = openVfs({ storage, blocks, clock, base, log: silentLog, limits: this.#limits });
    vfs.onInvalidate((changes) => this.invalidations.push(changes));
    return vfs;
  }

  #build(changes: ChangeSet, disk: SimulatedDisk) {
    const reference = this.#trees.get(changes.reference);
    if (reference === undefined) throw new Error("the reference is no known commit");
    const context = {
      nodes: this.#nodes,
      content: this.#content,
      blocks: this.blocks,
      sink: this.blocks,
      treeConfig: this.#treeConfig,
      contentConfig: this.#contentConfig,
    };
    return buildEpoch(context, reference, changes, dataReaderOf(disk));
  }

  async #newRoot(from: Cid, tree: Cid): Promise<NewBase> {
    const seq = (this.root.seq + 1) as Lamport;
    return { commit: fakeCommit(seq), tree, seq, changes: await differences(this.#nodes, from, tree) };
  }

  #stand({ commit, tree, seq }: NewBase): void {
    this.root = { commit, tree, seq };
    this.#trees.set(commit, tree);
  }

  async #describe(at: Attributes): Promise<string> {
    const { ino, mode, nlink, uid, gid, rdev, size, mtimeNs } = at;
    const facts = [ino, mode.toString(8), nlink, uid, gid, rdev, size, mtimeNs];
    if ((mode & S_IFMT) === S_IFREG) facts.push(cidOf("raw", await this.read(ino, 0, size)));
    if ((mode & S_IFMT) === S_IFLNK) facts.push(await this.run((vfs) => vfs.readSymlink(ino)));
    for (const name of await this.run((vfs) => vfs.listXattrs(ino)))
      facts.push(`${name}=${Buffer.from((await this.run((vfs) => vfs.getXattr(ino, name))) ?? []).toString("hex")}`);
    return facts.join(" ");
  }
}

function fakeCommit(seq: number): Cid {
  return cidOf("dag-cbor", Buffer.from(`commit ${seq}`));
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
