/** A bucket at a master: its blocks and its root by HTTP calls. Callers verify the answers, as from any store. */
import { BoundedMap } from "../../base/bounded-map.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { MASTER_LEASE_MS, PUBLISH_ATTEMPTS } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { Block } from "../../blocks/block-store.ts";
import { HttpBlockStore } from "../../blocks/http-block-store.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import type { Master, MasterReport } from "../../net/master-connection.ts";
import { bucketPath, HttpRootStore } from "../../roots/http-root-store.ts";
import type { BucketName, Root, SwapOutcome } from "../../roots/root-store.ts";
import type { BucketRemote, BucketTurn, Upload, UploadSession } from "../remote.ts";
import { HttpUpload, type LocalBlocks } from "./http-upload.ts";
import { collectAtMaster, type MasterCollection, type MasterCollectionOptions } from "./master-collection.ts";
import { type OwnerQuota, readQuota } from "./owner-quota.ts";
import { watchMaster } from "./root-watch.ts";
import { storedBytes } from "./stored-bytes.ts";
import { HttpTurns } from "./turns.ts";

export interface HttpRemoteOptions extends Pick<Ports, "clock" | "random"> {
  /** For people. */
  readonly address: string;
  readonly master: Master;
  readonly name: BucketName;
  /** Copies of blocks on this machine. */
  readonly local?: LocalBlocks | undefined;
  /** As RemoteOptions.onStaleRoot. */
  readonly onStaleRoot?: (() => void) | undefined;
}

type UnknownSwap = Extract<SwapOutcome, { kind: "unknown" }>;

/** How many own roots are remembered, which a watch need not report. */
const OWN_ROOTS = 64;

export class HttpRemote implements BucketRemote {
  readonly address: string;
  readonly blocks: HttpBlockStore;
  readonly #options: HttpRemoteOptions;
  readonly #roots: HttpRootStore;
  readonly #turns: HttpTurns;
  readonly #lost = new Set<Cid>();
  readonly #own = new BoundedMap<Cid, true>(OWN_ROOTS);

  constructor(options: HttpRemoteOptions) {
    this.address = options.address;
    this.#options = options;
    this.#roots = new HttpRootStore(options.master);
    this.blocks = new HttpBlockStore(options.master, options.clock);
    this.#turns = new HttpTurns(options.master, bucketPath(options.name), (block) => this.blocks.bring(block));
  }

  async readGenesis(): Promise<Uint8Array> {
    const root = await this.readRoot();
    if (root !== undefined) {
      return this.blocks.get(decodeCommit(await this.blocks.get(root.commit)).body.genesis);
    }
    throw new SynclineError("no_such_bucket", `There is no bucket at ${this.address}.`, {
      hint: "Check the address, or make one with `syncline init`. Buckets of other owners also appear missing.",
    });
  }

  async create(genesis: Block, first: Upload): Promise<boolean> {
    if ((await this.#newestRoot()) !== undefined) return false;
    await using session = this.#session();
    await session.putContent(genesis);
    const prepared = await session.prepare(undefined, first);
    const { cid } = first.commit;
    for (let sent = 1; ; sent++) {
      const outcome = await prepared.swap();
      if (outcome.kind === "committed") return true;
      // A swap that seemed lost may have taken place meanwhile.
      if (outcome.kind === "conflict") return outcome.current?.commit === cid;
      const root = await this.#rootAfter(outcome);
      if (root !== undefined) return root.commit === cid;
      if (sent === PUBLISH_ATTEMPTS) throw this.#notKnown(outcome);
    }
  }

  async readRoot(): Promise<Root | undefined> {
    const { onStaleRoot, name } = this.#options;
    if (onStaleRoot === undefined) return this.#newestRoot();
    const read = await this.#roots.read(name);
    if (read?.isStale === true) onStaleRoot();
    return read?.root;
  }

  beginUpload(): UploadSession {
    return this.#session();
  }

  takeTurn(): Promise<BucketTurn | undefined> {
    return this.#turns.take();
  }

  /** Has the master collect the garbage of the bucket's owner. Throws as `collectAtMaster`. */
  collect(options: MasterCollectionOptions): Promise<MasterCollection> {
    return collectAtMaster(this.#options.master, this.#options.clock, options);
  }

  /** As the function `storedBytes`. */
  storedBytes(): Promise<number | undefined> {
    return storedBytes(this.#options.master, this.#options.name.bucket);
  }

  quota(): Promise<OwnerQuota | undefined> {
    return readQuota(this.#options.master);
  }

  masters(): MasterReport[] {
    return this.#options.master.members?.() ?? [];
  }

  watch(changed: () => void): Disposable {
    const { master, name, clock, random } = this.#options;
    const path = `${bucketPath(name)}/watch`;
    const isOwn = (commit: Cid) => this.#own.get(commit) === true;
    return watchMaster({ master, path, readRoot: () => this.#newestRoot(), isOwn, clock, random }, changed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.master[Symbol.asyncDispose]();
  }

  #newestRoot(): Promise<Root | undefined> {
    return this.#roots.get(this.#options.name);
  }

  /** The root after a swap without an answer. Throws `store_unreachable` when that cannot be determined. */
  async #rootAfter(outcome: UnknownSwap): Promise<Root | undefined> {
    try {
      return await this.#newestRoot();
    } catch (error) {
      throw hasCode(error, "arbiter_unreachable") ? this.#notKnown(outcome) : error;
    }
  }

  #notKnown({ cause }: UnknownSwap): SynclineError {
    return new SynclineError("store_unreachable", `Cannot tell whether the bucket at ${this.address} was created.`, {
      hint: "Try again, and check whether the bucket exists.",
      cause,
    });
  }

  async #leaseMs(): Promise<number> {
    const capabilities = await this.#options.master.capabilities().catch(() => undefined);
    return capabilities?.leaseMs ?? MASTER_LEASE_MS;
  }

  #session(): HttpUpload {
    return new HttpUpload({
      address: this.address,
      name: this.#options.name,
      store: this.blocks,
      roots: this.#roots,
      lost: this.#lost,
      local: this.#options.local,
      clock: this.#options.clock,
      random: this.#options.random,
      turns: this.#turns,
      leaseMs: () => this.#leaseMs(),
      committed: ({ commit }) => this.#own.set(commit, true),
    });
  }
}
