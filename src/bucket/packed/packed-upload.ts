/**
 * An upload into packs: content is sent as it comes, everything else goes into the commit object, and then only the swap is
 * left (docs/reference/formats.md, A bucket in an object store).
 *
 * One small edit costs two puts: the commit object with everything new inside, and the root.
 */
import { mapConcurrent } from "../../base/concurrency.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { REUSE_COMMIT_BYTES, STORE_CONCURRENCY } from "../../base/limits.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { encodeManifest, type Manifest } from "../../format/blocks/manifest.ts";
import { commitObjectName } from "../../format/blocks/object-name.ts";
import type { Root, SwapOutcome } from "../../roots/root-store.ts";
import { type ObjectRootStore, ONLY_BUCKET } from "../../roots/object-root-store.ts";
import { BlockStage } from "./block-stage.ts";
import type { LeftPacks } from "./left-packs.ts";
import type { NewestIndex } from "./newest-index.ts";
import type { OwnSwap } from "./own-swap.ts";
import { buildPack } from "../../packs/pack-builder.ts";
import type { CommitObject } from "./pack-directory.ts";
import { PackUploader, type UploadedPack, type UploadTools } from "./pack-uploader.ts";
import { type Placement, readPlaced } from "../../packs/ranged-reads.ts";
import { PlacementIndex } from "./placement-index.ts";
import type { PreparedSwap, Upload, UploadSession } from "../remote.ts";
import { SessionPacks } from "./session-packs.ts";

/** Up to this many bytes of nodes are sent without checking older packs: most are new, and checking costs more. */
export const UNASKED_NODE_BYTES = 128 * 1024;

export interface PackedUploadTools extends UploadTools {
  readonly roots: ObjectRootStore;
  readonly newest: NewestIndex;
  readonly own: OwnSwap;
  /** Of the bucket itself. */
  readonly blocks: BlockReader;
  /** The most bytes of blocks that go into a commit object; more go into packs. */
  readonly inlineBytes: number;
  /** What a restart interrupted. */
  readonly left: LeftPacks;
  /** What they hold is stored again when it is uploaded. */
  readonly doubted: ReadonlySet<PackName>;
  /** Takes a session that goes on later. */
  readonly suspended: (session: PackedUpload) => Promise<void>;
}

export class PackedUpload implements UploadSession {
  readonly blocks: BlockReader;
  readonly #tools: PackedUploadTools;
  readonly #uploader: PackUploader;
  readonly #packs = new SessionPacks();
  /** Streamed content, which every attempt needs. */
  readonly #content: BlockStage;
  /** Contents and nodes of one attempt, which the next may not need. */
  readonly #merged: BlockStage;
  readonly #nodes: BlockStage;
  /** The bucket's gcEpoch when this session's packs were last known to exist. */
  #gcEpoch: number | undefined;
  /** A commit object of this session that no root names. */
  #unused: UploadedPack | undefined;

  constructor(tools: PackedUploadTools) {
    this.#tools = tools;
    this.#uploader = new PackUploader(tools);
    const stage = (unasked = 0) =>
      new BlockStage(this.#uploader, this.#packs, { unasked, inherit: () => this.#inherit(), doubted: tools.doubted });
    this.#content = stage();
    this.#merged = stage();
    this.#nodes = stage(UNASKED_NODE_BYTES);
    this.blocks = { get: (cid) => this.#get(cid), getMany: (cids) => this.#getMany(cids) };
  }

  async putContent(block: Block): Promise<void> {
    if (!this.#content.add(block)) return;
    const index = await this.#tools.newest.get();
    this.#gcEpoch ??= index.object.manifest.gcEpoch;
    await this.#content.sift(index);
  }

  async prepare(expected: Root, upload: Upload): Promise<PreparedSwap> {
    return this.#prepare(expected, await this.#commitObject(expected), upload);
  }

  /** The same for a bucket's first commit: the swap creates the root. */
  prepareFirst(upload: Upload): Promise<PreparedSwap> {
    return this.#prepare(undefined, undefined, upload);
  }

  /** Keeps the packs and their lease. Blocks that are in no pack yet must be put again. */
  async suspend(): Promise<void> {
    await Promise.allSettled(this.#stages.map((stage) => stage.uploaded()));
    for (const stage of this.#stages) stage.clear();
    await this.#tools.suspended(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#stages.map((stage) => stage.uploaded()));
    await this.#uploader.release();
  }

  get #stages(): readonly BlockStage[] {
    return [this.#content, this.#merged, this.#nodes];
  }

  async #prepare(expected: Root | undefined, parent: CommitObject | undefined, upload: Upload): Promise<PreparedSwap> {
    const index = parent && new PlacementIndex(this.#tools.directory, parent);
    await this.#uploader.refreshLease();
    await this.#keepUnused();
    if (parent !== undefined) await this.#checkPacks(parent.manifest);
    await this.#take(index, upload);
    const inline = await this.#chooseInline();
    const manifest = await this.#uploader.nextManifest(parent, this.#packs.needed);
    const object = await this.#putCommitObject(upload.commit, inline, manifest);
    await this.#tools.store.settle();
    return this.#prepared(expected, upload.commit.cid, object);
  }

  /** Sorts the upload's blocks into content and nodes, dropping those that the bucket holds at `index`. */
  async #take(index: PlacementIndex | undefined, upload: Upload): Promise<void> {
    this.#merged.clear();
    this.#nodes.clear();
    await this.#content.sift(index);
    await this.#content.recheck(index);
    for await (const block of upload.blocks) {
      const stage = codecOf(block.cid) === "raw" ? this.#merged : this.#nodes;
      if (!this.#content.has(block.cid) && stage.add(block)) await stage.sift(index);
    }
    await Promise.all(this.#stages.map((stage) => stage.sift(index)));
    await Promise.all(this.#stages.map((stage) => stage.uploaded()));
  }

  /** The blocks for the commit object. Excess is stored as packs first, the larger kind before the other. */
  async #chooseInline(): Promise<Block[]> {
    const staged = () => this.#stages.reduce((sum, { stagedBytes }) => sum + stagedBytes, 0);
    for (const stage of this.#stages.toSorted((a, b) => b.stagedBytes - a.stagedBytes)) {
      if (staged() > this.#tools.inlineBytes) await stage.sendAll();
    }
    return [...this.#content.staged, ...this.#merged.staged, ...this.#nodes.staged];
  }

  async #putCommitObject(commit: Block, inline: readonly Block[], manifest: Manifest): Promise<CommitObject> {
    // The commit and the nodes come last: reading the object's end for the manifest then yields them, too.
    const built = buildPack(commitObjectName(commit.cid), [...inline, commit], encodeManifest(manifest));
    if (await this.#uploader.putBuilt(built)) {
      const { pack, footer } = built;
      this.#unused = { pack, footer };
      return { pack, footer, manifest };
    }
    // An earlier attempt of this writer stored it. It is used if it maps everything that this one would.
    const there = await this.#tools.directory.commitObject(commit.cid);
    const cids = [commit, ...inline].map(({ cid }) => cid);
    const { found } = await new PlacementIndex(this.#tools.directory, there).locate(cids, this.#tools.doubted);
    if (cids.every((cid) => found.has(cid))) return there;
    throw new SynclineError(
      "root_moved",
      `A different ${built.pack.name} already exists. The commit must be made again.`,
    );
  }

  #prepared(expected: Root | undefined, commit: Cid, object: CommitObject): PreparedSwap {
    const swap = async (): Promise<SwapOutcome> => {
      const { own, roots } = this.#tools;
      const outcome = await own.run(commit, () => roots.swap(ONLY_BUCKET, expected?.commit, commit, expected?.version));
      if (outcome.kind === "committed") {
        this.#unused = undefined;
        this.#tools.newest.adopt(outcome.root, object);
      }
      if (outcome.kind === "conflict" && outcome.current !== undefined) this.#tools.newest.note(outcome.current);
      return outcome;
    };
    return { commit, uploaded: this.#uploader.takeCost(), swap };
  }

  /** Takes over packs that an earlier process left. Called before this one first writes the lease, which drops their names. */
  async #inherit(): Promise<boolean> {
    const left = await this.#tools.left.take(async () => {
      const index = await this.#tools.newest.get();
      this.#gcEpoch ??= index.object.manifest.gcEpoch;
      return index;
    });
    if (left.length === 0) return false;
    for (const pack of left) this.#packs.inherit(pack);
    await this.#uploader.hold(left.map(({ pack }) => pack.name));
    return true;
  }

  /** A large commit object that lost its swap is not sent again: it becomes one of this session's packs. */
  async #keepUnused(): Promise<void> {
    const unused = this.#unused;
    this.#unused = undefined;
    if (unused === undefined || unused.pack.size < REUSE_COMMIT_BYTES) return;
    await this.#inherit();
    await this.#uploader.hold([unused.pack.name]);
    this.#packs.add(unused);
    this.#content.dropPacked();
  }

  /** Throws `root_moved` if the collector has taken or is taking the session's packs: they cannot be listed. */
  async #checkPacks({ gcEpoch, dropping }: Manifest): Promise<void> {
    const moved = this.#gcEpoch !== undefined && this.#gcEpoch !== gcEpoch;
    const lost = await mapConcurrent(this.#packs.names, STORE_CONCURRENCY, async (name) => {
      if (!dropping.includes(name) && !(moved && (await this.#tools.store.head(name)) === undefined)) return [];
      return this.#packs.forget(name) ? [name] : [];
    });
    const [first] = lost.flat();
    if (first !== undefined) {
      throw new SynclineError(
        "root_moved",
        `The collector dropped ${first} during the upload. The upload must start over.`,
      );
    }
    this.#gcEpoch = gcEpoch;
  }

  async #commitObject({ commit, version }: Root): Promise<CommitObject> {
    try {
      return await this.#tools.directory.commitObject(commit, version);
    } catch (cause) {
      if (!hasCode(cause, "object_not_found")) throw cause;
      throw new SynclineError("root_moved", `The commit object of ${commit} is gone.`, { cause });
    }
  }

  async #get(cid: Cid): Promise<Uint8Array> {
    return (await this.#getMany([cid])).get(cid) ?? this.#tools.blocks.get(cid);
  }

  async #getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    const packed = new Map<Cid, Placement>();
    for (const cid of cids) {
      const bytes = this.#stages.map((stage) => stage.lend(cid)).find((held) => held !== undefined);
      const place = bytes === undefined ? this.#packs.locate(cid) : undefined;
      if (bytes !== undefined) found.set(cid, bytes);
      if (place !== undefined) packed.set(cid, place);
    }
    const rest = cids.filter((cid) => !found.has(cid) && !packed.has(cid));
    const [own, others] = await Promise.all([
      readPlaced(this.#tools.directory, packed),
      this.#tools.blocks.getMany(rest),
    ]);
    return new Map([...found, ...own, ...others]);
  }
}
