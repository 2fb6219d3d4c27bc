/** A bucket in an object store (`file://`, `s3://`): packs, commit objects, a root (docs/reference/formats.md). */
import { hasCode, SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid, PackName, WriterId } from "../../base/ids.ts";
import { COMMIT_INLINE_BYTES, FILE_POLL_MS } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { Block } from "../../blocks/block-store.ts";
import { VerifiedReader } from "../../blocks/verified-reader.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { decodeGenesis } from "../../format/commits/genesis.ts";
import { basesName, GENESIS_OBJECT } from "../../format/blocks/object-name.ts";
import { encodeBases, type RootPointer } from "../../format/blocks/root-object.ts";
import { notStored, type ObjectStore, putOver, type RequestReport, type Turn } from "../../objects/object-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../roots/object-root-store.ts";
import type { Root } from "../../roots/root-store.ts";
import { Lease, ownToken, replaced } from "./lease.ts";
import { holdsBucket, lostRoot, occupied } from "./lost-root.ts";
import { LeftPacks } from "./left-packs.ts";
import { NewestIndex } from "./newest-index.ts";
import { OwnSwap } from "./own-swap.ts";
import { PackDirectory } from "./pack-directory.ts";
import { PackedReader } from "./packed-reader.ts";
import { PackedUpload } from "./packed-upload.ts";
import { readCommitAhead, readingAhead } from "./read-ahead.ts";
import type { BucketRemote, Upload, UploadSession } from "../remote.ts";
import { watchRoot } from "./root-watch.ts";

export interface PackedRemoteOptions extends Pick<Ports, "clock" | "random"> {
  /**
   * Returns the uploading writer, each time anew: an agent may get a new device. Without one, only uploads that fit into a
   * commit object are possible.
   */
  readonly writer?: (() => WriterId) | undefined;
  readonly pollMs?: number;
  /** The most bytes of blocks that go into a commit object; larger uploads go into packs. Default: COMMIT_INLINE_BYTES. */
  readonly inlineBytes?: number;
  /** Told each pack that a read shows to be missing or damaged. */
  readonly onDoubt?: ((pack: PackName) => void) | undefined;
}

export class PackedRemote implements BucketRemote {
  readonly address: string;
  readonly blocks: PackedReader;
  /** For the audit and repair of the objects themselves. */
  readonly store: ObjectStore;
  readonly #options: PackedRemoteOptions;
  readonly #roots: ObjectRootStore;
  readonly #directory: PackDirectory;
  readonly #newest: NewestIndex;
  #leased: { readonly writer: WriterId | undefined; readonly lease: Lease; readonly left: LeftPacks };
  readonly #own = new OwnSwap();
  /** The next session. If the remote is closed before, the next process inherits its packs, or a collection takes them. */
  #suspended: PackedUpload | undefined;

  constructor(store: ObjectStore, options: PackedRemoteOptions) {
    this.address = store.address;
    this.store = store;
    this.#options = options;
    this.#roots = new ObjectRootStore(store);
    this.#directory = new PackDirectory(store);
    this.#newest = new NewestIndex(this.#directory, () => this.readRoot());
    this.#leased = this.#leasedBy(options.writer?.());
    this.blocks = new PackedReader(store.address, this.#directory, this.#newest, options.onDoubt);
  }

  async readGenesis(): Promise<Uint8Array> {
    const genesis = await unlessDamaged(() => this.store.get(GENESIS_OBJECT));
    if (genesis !== undefined) return genesis.bytes;
    // It cannot be read, or creating the bucket was interrupted after its first root.
    const linked = await this.linkedGenesis();
    if (linked !== undefined) return linked;
    const lost = await this.lostRoot();
    if (lost !== undefined) throw lost;
    throw new SynclineError("no_such_bucket", `There is no bucket at ${this.address}.`, {
      hint: "Check the address, or make one with `syncline init`.",
    });
  }

  async linkedGenesis(): Promise<Uint8Array | undefined> {
    const root = await this.readRoot();
    if (root === undefined) return undefined;
    const blocks = new VerifiedReader(this.blocks);
    return blocks.get(decodeCommit(await blocks.get(root.commit)).body.genesis);
  }

  /** The root decides who made the bucket. Only that writer stores the genesis object, a copy: it is never another's. */
  async create(genesis: Block, first: Upload): Promise<boolean> {
    await this.store.initialize();
    const isThere = async () => (await this.#roots.get(ONLY_BUCKET)) !== undefined;
    if (await isThere()) return false;
    if (await holdsBucket(this.store, (other) => haveOneOwner(genesis.bytes, other))) {
      // Another creator may have finished meanwhile.
      if (await isThere()) return false;
      throw occupied(this.address);
    }
    await using session = this.#session();
    const outcome = await (await session.prepareFirst(first)).swap();
    if (outcome.kind === "unknown") throw notKnown(this.address, outcome.cause);
    if (outcome.kind === "conflict") return false;
    await this.#putGenesis(genesis);
    return true;
  }

  async readRoot(): Promise<Root | undefined> {
    // A root's commit can be read while the root is made durable: others wait for our turn.
    if (this.#own.isInLine) void readCommitAhead({ store: this.store, directory: this.#directory });
    const root = await this.#roots.get(ONLY_BUCKET);
    if (root !== undefined) this.#newest.note(root);
    return root;
  }

  async lostRoot(): Promise<SynclineError | undefined> {
    return (await holdsBucket(this.store)) ? lostRoot(this.address) : undefined;
  }

  beginUpload(): UploadSession {
    this.#followWriter();
    const session = this.#suspended ?? this.#session();
    this.#suspended = undefined;
    return session;
  }

  watch(changed: () => void): Disposable {
    const { clock, pollMs = FILE_POLL_MS } = this.#options;
    return watchRoot(this.store, this.#own, clock, this.store.polling ?? { firstMs: pollMs, lastMs: pollMs }, changed);
  }

  requests(): RequestReport | undefined {
    return this.store.requests?.();
  }

  takeTurn(): Promise<Turn | undefined> | undefined {
    const taking = this.store.takeTurn?.();
    if (taking === undefined) return undefined;
    const { clock } = this.#options;
    return this.#own.inLine(readingAhead(taking, { store: this.store, directory: this.#directory, clock }));
  }

  async holdBases(bases: readonly RootPointer[]): Promise<void> {
    const writer = this.#options.writer?.();
    if (writer === undefined) return;
    const name = basesName(writer);
    if (bases.length === 0) return this.store.delete(name);
    const outcome = await putOver(this.store, name, [encodeBases(bases)], await ownToken(this.store, name));
    if (outcome.kind === "unknown") throw notStored(this.address, name, outcome);
    if (outcome.kind === "refused") throw replaced(name);
  }

  /** Removes an abandoned lock and returns its holder; as ObjectStore.breakLock. */
  async breakLock(force: boolean): Promise<string | undefined> {
    return this.store.breakLock?.(force);
  }

  /** Forgets cached manifests and footers: after a repair. */
  forgetPlacement(): void {
    this.#directory.clear();
    this.#newest.clear();
  }

  doubt(cids: readonly Cid[]): Promise<void> {
    return this.blocks.doubt(cids);
  }

  doubtPack(pack: PackName): void {
    this.blocks.doubted.add(pack);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }

  /** After a change of device, the old lease and its packs belong to the other agent, whose state is a copy of this one. */
  #followWriter(): void {
    const writer = this.#options.writer?.();
    if (writer === this.#leased.writer) return;
    this.#leased = this.#leasedBy(writer);
    this.#suspended = undefined;
  }

  #leasedBy(writer: WriterId | undefined) {
    const lease = new Lease(this.store, writer, this.#options.clock, this.#options.random);
    return { writer, lease, left: new LeftPacks(this.store, lease) };
  }

  #session(): PackedUpload {
    return new PackedUpload({
      store: this.store,
      directory: this.#directory,
      lease: this.#leased.lease,
      left: this.#leased.left,
      random: this.#options.random,
      roots: this.#roots,
      newest: this.#newest,
      own: this.#own,
      blocks: this.blocks,
      doubted: this.blocks.doubted,
      inlineBytes: this.#options.inlineBytes ?? COMMIT_INLINE_BYTES,
      suspended: async (session) => {
        await this.#suspended?.[Symbol.asyncDispose]();
        this.#suspended = session;
      },
    });
  }

  /** Stores the genesis, replacing that of an interrupted creation. */
  async #putGenesis(genesis: Block): Promise<void> {
    const body = [genesis.bytes];
    if ((await this.store.putNew(GENESIS_OBJECT, body)).kind === "stored") return;
    const there = await this.store.get(GENESIS_OBJECT);
    if (there === undefined || Buffer.compare(there.bytes, genesis.bytes) === 0) return;
    await this.store.putIfMatch(GENESIS_OBJECT, body, there.token);
  }
}

/** Whether the same wallet signed both. Anything but a genesis has no owner. */
function haveOneOwner(genesis: Uint8Array, other: Uint8Array): boolean {
  try {
    return decodeGenesis(genesis).body.owner === decodeGenesis(other).body.owner;
  } catch (error) {
    if (error instanceof SynclineError) return false;
    throw error;
  }
}

function notKnown(address: string, cause: unknown): SynclineError {
  const hint = "Try again, and check whether the bucket exists.";
  return new SynclineError("store_unreachable", `Cannot tell whether the bucket at ${address} was created.`, {
    hint: hasCode(cause, "disk_full") && cause.hint !== undefined ? cause.hint : hint,
    cause,
  });
}
