/**
 * What histories begin with: a new bucket, empty or with each machine's directory and the shared one, and devices that may
 * write to it. It is made once for many histories, because wallet signatures take longer than most of a history; each is
 * checked once.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Block } from "../blocks/block-store.ts";
import type { Cid } from "../base/ids.ts";
import { silentLog } from "../base/log.ts";
import { nameFromText } from "../base/names.ts";
import { Bucket, type BucketChecks, type CreateOptions } from "../bucket/bucket.ts";
import { cachingRemote } from "../bucket/caching-remote.ts";
import { PackedRemote } from "../bucket/packed/packed-remote.ts";
import type { PublishContext } from "../bucket/publish.ts";
import type { BucketRemote } from "../bucket/remote.ts";
import type { Writer } from "../bucket/publish/next-commit.ts";
import { openWriter } from "../bucket/writer.ts";
import { createDeviceKey } from "../crypto/device-key.ts";
import { walletSigner } from "../crypto/wallet.ts";
import { decodeCertificate, signCertificate } from "../format/commits/certificate.ts";
import { cidOf } from "../format/blocks/cid.ts";
import { decodeCommit, verifyCommit } from "../format/commits/commit.ts";
import { decodeGenesis, type Genesis } from "../format/commits/genesis.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import type { BaseRoot } from "../overlay/journal/journal-record.ts";
import { masterHolding } from "./master/master-holding.ts";
import type { MasterData } from "./master/folder-host.ts";
import { FINE_CUTTING } from "./fine-cutting.ts";
import { seededRandom } from "./seeded-random.ts";
import { Timeline } from "./timeline.ts";

/** Names of machines; each has its own directory. */
export const MACHINE_NAMES = [..."abcdefgh"];
export const SHARED_HOME = "shared";

export function homeOf(machine: string): string {
  return `own-${machine}`;
}

/** A bucket at one root. */
export class Start {
  readonly root: BaseRoot;
  /** All of the bucket's blocks. */
  readonly blocks: ReadonlyMap<Cid, Uint8Array>;
  /** Roots up to this one, oldest first. */
  readonly commits: readonly Cid[];
  readonly #objects: readonly (readonly [name: string, bytes: Uint8Array])[];
  #master: Promise<MasterData> | undefined;

  private constructor({ root, blocks, objects, commits }: StartParts) {
    this.root = root;
    this.blocks = blocks;
    this.#objects = objects;
    this.commits = commits;
  }

  static async of(made: MemoryObjectStore, bucket: Bucket, seen: SeenBlocks): Promise<Start> {
    const { cid: commit, body } = (await bucket.head()).commit;
    const objects: [string, Uint8Array][] = [];
    for await (const { name } of made.list("")) objects.push([name, (await made.get(name))?.bytes ?? new Uint8Array()]);
    const root = { commit, tree: body.tree, seq: body.seq };
    return new Start({ root, objects, blocks: new Map(seen.blocks), commits: [...seen.commits] });
  }

  /** A new store that holds the bucket. */
  async store(nowMs?: () => number): Promise<MemoryObjectStore> {
    const store = new MemoryObjectStore("memory://bucket", nowMs);
    for (const [name, bytes] of this.#objects) await store.putNew(name, [bytes]);
    return store;
  }

  /** The disk of a master that holds only this bucket. */
  async master(): Promise<MasterData> {
    const made = (this.#master ??= masterHolding(OWNER.wallet, this.blocks, this.commits));
    const { disk, databases } = await made;
    return { disk: disk.copy(), databases: databases.copy() };
  }
}

interface StartParts {
  readonly root: BaseRoot;
  readonly blocks: ReadonlyMap<Cid, Uint8Array>;
  readonly objects: readonly (readonly [name: string, bytes: Uint8Array])[];
  readonly commits: readonly Cid[];
}

/** Collects the blocks of a bucket while it is made. */
class SeenBlocks {
  readonly blocks = new Map<Cid, Uint8Array>();
  readonly commits: Cid[] = [];

  /** `remote`, with all uploaded blocks collected. */
  of(remote: BucketRemote): BucketRemote {
    const keep = (blocks: readonly Block[]) => {
      for (const { cid, bytes } of blocks) this.blocks.set(cid, new Uint8Array(bytes));
    };
    const seen = cachingRemote(remote, { keep });
    const create: BucketRemote["create"] = async (genesis, { commit, blocks }) => {
      const all: Block[] = [];
      for await (const block of blocks) all.push(block);
      keep([genesis, commit, ...all]);
      return remote.create(genesis, { commit, blocks: all });
    };
    return { ...seen, create };
  }
}

export class Beginning {
  readonly genesis: Genesis;
  readonly empty: Start;
  /** With each machine's directory and the shared one. */
  readonly furnished: Start;
  readonly checks: BucketChecks;
  /** The same with a bucket that cuts files finely. */
  readonly fine: Beginning;
  readonly #writers = new Map<number, Promise<Writer>>();

  private constructor(genesis: Genesis, checks: BucketChecks, empty: Start, furnished: Start, fine?: Beginning) {
    this.genesis = genesis;
    this.checks = checks;
    this.empty = empty;
    this.furnished = furnished;
    this.fine = fine ?? this;
  }

  static async make(): Promise<Beginning> {
    return Beginning.#make(undefined, await Beginning.#make(FINE_CUTTING));
  }

  static async #make(cutting: CreateOptions["cutting"], fine?: Beginning): Promise<Beginning> {
    const made = new MemoryObjectStore();
    const [clock, random] = [new Timeline(), seededRandom(1)];
    const device = createDeviceKey(random);
    const seen = new SeenBlocks();
    const remote = seen.of(new PackedRemote(made, { clock, random, writer: () => device.writer }));
    const rights = { mode: 0o755, uid: 0, gid: 0 };
    const owned = { owner: OWNER, device, notAfter: NOT_AFTER, clock, random, cutting };
    const { certificate } = await Bucket.create(remote, { ...owned, ...rights });
    const [genesis, certificates] = [once(decodeGenesis), once(decodeCertificate)];
    const checks = { genesis, certificate: certificates, decodeCommit: once(decodeCommit), commit: commitsOnce() };
    const bucket = await Bucket.open(remote, { blocks: remote.blocks, checks });
    seen.commits.push((await bucket.head()).commit.cid);
    const empty = await Start.of(made, bucket, seen);
    const context = { bucket, writer: { device, certificate }, clock, random, log: silentLog };
    await clock.run(furnish(context));
    seen.commits.push((await bucket.head()).commit.cid);
    return new Beginning(bucket.genesis, checks, empty, await Start.of(made, bucket, seen), fine);
  }

  /** Always the same device for a number. */
  writer(number: number): Promise<Writer> {
    const known = this.#writers.get(number) ?? certified(number, this.genesis.cid);
    this.#writers.set(number, known);
    return known;
  }
}

async function furnish(context: PublishContext): Promise<void> {
  await using writer = await openWriter(context, 1);
  for (const path of [SHARED_HOME, ...MACHINE_NAMES.map(homeOf)])
    await writer.makeDirectory([nameFromText(path)], { mode: 0o755, uid: 0, gid: 0 });
  await writer.publish();
}

async function certified(number: number, genesis: Cid): Promise<Writer> {
  const device = createDeviceKey(seededRandom(number));
  return { device, certificate: await signCertificate(device, genesis, NOT_AFTER, OWNER) };
}

/** Decodes equal bytes only once. */
function once<Value>(decode: (bytes: Uint8Array) => Value): (bytes: Uint8Array) => Value {
  const decoded = new BoundedMap<Cid, Value>(REMEMBERED);
  return (bytes) => {
    const cid = cidOf("dag-cbor", bytes);
    const value = decoded.get(cid) ?? decode(bytes);
    decoded.set(cid, value);
    return value;
  };
}

/** Verifies each commit once, although every machine reads it. */
function commitsOnce(): BucketChecks["commit"] {
  const verified = new BoundedMap<Cid, Cid>(REMEMBERED);
  return (commit, certificate) => {
    if (verified.get(commit.cid) === certificate.cid) return;
    verifyCommit(commit, certificate);
    verified.set(commit.cid, certificate.cid);
  };
}

const REMEMBERED = 1_000;
/** The bucket's owner. */
export const OWNER = walletSigner(new Uint8Array(32).fill(7));
const NOT_AFTER = 4_000_000_000;
