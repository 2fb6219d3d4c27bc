/**
 * An owner's blocks as callers hold them: opens the files on demand, closes them when others need room, and rebuilds the
 * index when it is unreadable.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import type { Block } from "../../blocks/block-store.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { storeError } from "../../objects/disk.ts";
import type { Root } from "../../roots/root-store.ts";
import { isUnreadable } from "./block-index.ts";
import type { Closable, OpenOwners } from "./open-owners.ts";
import type { CollectedBlocks, Collecting, PutCounts, Room } from "./owner-blocks.ts";
import type { RecentNodes } from "./recent-nodes.ts";
import { indexPath, OwnerPacks, type OwnerPacksOptions, packsFolder } from "./owner-packs.ts";

export interface OwnerHandleOptions extends OwnerPacksOptions {
  readonly owner: Wallet;
  /** Of all owners. */
  readonly recent: RecentNodes;
  readonly open: OpenOwners;
}

export class OwnerHandle implements CollectedBlocks, Closable {
  readonly #options: OwnerHandleOptions;
  #opened: Opened | undefined;
  /** The last close; nothing opens before it ends. */
  #closing: Promise<void> = Promise.resolve();
  /** Whether anything is on disk; undefined: unknown so far. */
  #exists: boolean | undefined;
  #ended = false;
  #usedBytes = 0;

  constructor(options: OwnerHandleOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#opened === undefined || this.#opened.uses === 0;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Resolves to itself, once it knows how many bytes it holds. */
  async ready(): Promise<CollectedBlocks> {
    await this.#read(undefined, async () => {});
    return this;
  }

  async put(blocks: readonly Block[]): Promise<PutCounts> {
    if (blocks.length === 0) return { stored: 0, known: 0 };
    const counts = await this.#run("storing blocks", async (packs) => packs.put(blocks));
    const { owner, recent } = this.#options;
    for (const { cid, bytes } of blocks) recent.note(owner, cid, bytes);
    return counts;
  }

  recent(cid: Cid): Uint8Array | undefined {
    return this.#options.recent.get(this.#options.owner, cid);
  }

  async get(cid: Cid, room?: Room): Promise<Uint8Array> {
    const bytes = await this.#read(undefined, (packs) => packs.get(cid, room));
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  }

  async getMany(cids: readonly Cid[], room?: Room): Promise<Map<Cid, Uint8Array>> {
    const found = await this.#read(undefined, (packs) => packs.getMany(cids, room));
    const [first] = cids;
    if (found === undefined && first !== undefined) throw blockNotFound(first);
    return found ?? new Map<Cid, Uint8Array>();
  }

  has(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.#read(new Set<Cid>(), (packs) => packs.has(cids));
  }

  size(cid: Cid): Promise<number | undefined> {
    return this.#read<number | undefined>(undefined, (packs) => packs.size(cid));
  }

  knownSize(cid: Cid): Promise<number | undefined> {
    return this.size(cid);
  }

  complete(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.#read(new Set<Cid>(), (packs) => packs.complete(cids));
  }

  markComplete(cids: readonly Cid[]): Promise<void> {
    return this.#read(undefined, (packs) => packs.markComplete(cids));
  }

  lease(cids: readonly Cid[]): Promise<void> {
    return this.#read(undefined, (packs) => packs.lease(cids));
  }

  async era(): Promise<number> {
    return 0;
  }

  /** Nothing to do: no other master has these files. */
  async catchUp(): Promise<void> {}

  hold(cids: readonly Cid[]): Promise<Set<Cid>> {
    return this.#read(new Set<Cid>(), (packs) => packs.hold(cids));
  }

  swapped(bucket: string, root: Root): Promise<boolean> {
    return this.#read(true, (packs) => packs.swapped(bucket, root));
  }

  collect<Result>(work: (collecting: Collecting) => Promise<Result>): Promise<Result | undefined> {
    return this.#read<Result | undefined>(undefined, (packs) => packs.collect(work));
  }

  rest(): void {
    this.#closeAfterUse(() => {});
  }

  /** Ends it for good, after ongoing work. */
  async end(): Promise<void> {
    this.#ended = true;
    this.rest();
    await this.#closing;
  }

  /** Runs work that changes nothing; returns `nothing` if nothing is stored. */
  async #read<Result>(nothing: Result, work: (packs: OwnerPacks) => Promise<Result>): Promise<Result> {
    const { disk, dir } = this.#options;
    if (this.#exists === undefined) {
      const files = await disk.list(dir).catch((cause: unknown) => {
        throw storeError(cause, dir, "reading blocks");
      });
      this.#exists ??= files.length > 0;
    }
    return this.#exists ? this.#run("reading blocks", work) : nothing;
  }

  async #run<Result>(doing: string, work: (packs: OwnerPacks) => Promise<Result>): Promise<Result> {
    const { dir, log } = this.#options;
    try {
      const opened = this.#open();
      try {
        return await this.#use(opened, work);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        // Of concurrent calls that find it unreadable, one rebuilds it.
        if (this.#opened === opened) {
          log.error("an index is damaged; rebuilding it", { dir, error: describeError(error) });
          void opened.packs.then((packs) => packs.endCollection()).catch(() => {});
          this.#closeAfterUse(() => this.#options.databases.remove(indexPath(dir)));
        }
        return await this.#use(this.#open(), work);
      }
    } catch (cause) {
      throw storeError(cause, dir, doing);
    }
  }

  async #use<Result>(opened: Opened, work: (packs: OwnerPacks) => Promise<Result>): Promise<Result> {
    opened.uses++;
    this.#options.open.used(this);
    try {
      const packs = await opened.packs;
      try {
        return await work(packs);
      } finally {
        this.#usedBytes = packs.usedBytes;
      }
    } finally {
      opened.uses--;
      if (opened.uses === 0) opened.unused.resolve();
    }
  }

  #open(): Opened {
    if (this.#ended) throw new SynclineError("store_failed", "The master's store is closed.");
    if (this.#opened !== undefined) return this.#opened;
    const opened = { packs: this.#openAfter(this.#closing), uses: 0, unused: Promise.withResolvers<void>() };
    this.#opened = opened;
    opened.packs.catch(() => {
      if (this.#opened === opened) this.#closeAfterUse(() => {});
    });
    return opened;
  }

  async #openAfter(closing: Promise<void>): Promise<OwnerPacks> {
    await closing;
    await this.#options.disk.makeFolder(packsFolder(this.#options.dir));
    const packs = await OwnerPacks.open(this.#options);
    this.#exists = true;
    this.#usedBytes = packs.usedBytes;
    return packs;
  }

  #closeAfterUse(then: () => void): void {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#options.open.closed(this);
    if (opened !== undefined) this.#closing = close(opened).then(then);
  }
}

interface Opened {
  readonly packs: Promise<OwnerPacks>;
  /** Ongoing calls. */
  uses: number;
  /** Resolves when the last call ends. */
  unused: PromiseWithResolvers<void>;
}

async function close(opened: Opened): Promise<void> {
  while (opened.uses > 0) {
    opened.unused = Promise.withResolvers();
    await opened.unused.promise;
  }
  await opened.packs.then((packs) => packs.close()).catch(() => {});
}
