/** Makes a collection's swaps: copies, runs, manifests and commit objects. */
import { SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { RUN_PAGE_BYTES } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import type { WordMemory } from "../../base/word-memory.ts";
import { encodeManifest, type Manifest, type RunReference } from "../../format/blocks/manifest.ts";
import { commitObjectName } from "../../format/blocks/object-name.ts";
import { pagesOfRun, type RunRow } from "../../format/blocks/run.ts";
import { notStored, type ObjectStore } from "../../objects/object-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../roots/object-root-store.ts";
import type { SwapOutcome } from "../../roots/root-store.ts";
import type { Bucket } from "../bucket.ts";
import { Lease } from "../packed/lease.ts";
import { buildPack } from "../../packs/pack-builder.ts";
import { PackDirectory } from "../packed/pack-directory.ts";
import { PackUploader } from "../packed/pack-uploader.ts";
import { putRun } from "../packed/run-merge.ts";
import type { Writer } from "../publish/next-commit.ts";
import { blocksOf, type Maintenance, makeMaintenance } from "./maintenance.ts";
import type { CollectionBase } from "./collection-base.ts";
import { useIntactCopies } from "./intact-copies.ts";
import type { LiveRow, LiveRows } from "./live-rows.ts";
import type { Plan } from "./planner.ts";
import { Repacker } from "./repack.ts";

/** The most memory for sorting a row, and for copying a block. */
const SORTED_BYTES = 4;
const COPY_BYTES = 72;

export interface CollectionWriterOptions extends Pick<Ports, "clock" | "random"> {
  readonly bucket: Bucket;
  readonly store: ObjectStore;
  readonly writer: Writer;
  /** For places of blocks. */
  readonly memory: WordMemory;
}

export class CollectionWriter implements AsyncDisposable {
  readonly directory: PackDirectory;
  readonly repacker: Repacker;
  readonly #options: CollectionWriterOptions;
  readonly #roots: ObjectRootStore;
  readonly #uploader: PackUploader;
  #writtenBytes = 0;
  /** The runs that were stored for these rows. */
  #mapped: { readonly live: Plan["live"]; readonly runs: readonly RunReference[] } | undefined;

  constructor(options: CollectionWriterOptions) {
    const { store, clock, random, writer, memory } = options;
    this.#options = options;
    this.directory = new PackDirectory(store);
    this.#roots = new ObjectRootStore(store);
    const lease = new Lease(store, writer.device.writer, clock, random);
    this.#uploader = new PackUploader({ store, directory: this.directory, lease, random });
    this.repacker = new Repacker(store, this.#uploader, memory);
  }

  /** Bytes of everything stored here, including objects that turned out useless. */
  get writtenBytes(): number {
    return this.#writtenBytes + this.repacker.bytes;
  }

  /** The first swap: one run maps exactly what must stay, new packs are listed, and the victims are dropping, too. */
  async swapDropping(base: CollectionBase, plan: Plan): Promise<SwapOutcome> {
    const { live, added, victims, maintenance } = plan;
    const going = new Set(victims.map(({ name }) => name));
    const { gcEpoch, dropping } = base.object.manifest;
    // A retry with the same rows writes only the commit object: others have little time to come first.
    if (this.#mapped?.live !== live) this.#mapped = { live, runs: await this.#map(live, going) };
    await this.#uploader.refreshLease();
    const { runs } = this.#mapped;
    return this.#swap(base, maintenance, {
      gcEpoch: gcEpoch + 1,
      runs,
      loose: added,
      dropping: [...new Set([...dropping, ...going])],
    });
  }

  /** Copies blocks out of the packs that will be deleted, then stores a run of all rows with their new places. */
  async #map(live: LiveRows, going: ReadonlySet<PackName>): Promise<RunReference[]> {
    const { store, memory } = this.#options;
    // Before anything is written.
    const toCopy = Math.max(0, live.rowsIn(going) - this.repacker.copied);
    memory.require(live.size * SORTED_BYTES + toCopy * COPY_BYTES);
    await useIntactCopies(store, live, going);
    const isToCopy = (number: number, pack: PackName) =>
      going.has(pack) && this.repacker.copyOf(live.digestOf(number)) === undefined;
    for (const inPack of live.byPack(isToCopy)) await this.repacker.copy(inPack);
    await this.repacker.finish();
    return this.#putRun(live, going);
  }

  /** The second swap: clears the list of dropping packs. */
  async swapClearing(base: CollectionBase): Promise<SwapOutcome> {
    const { bucket, writer, clock, random } = this.#options;
    const maintenance = await makeMaintenance(bucket, writer, clock, random, base.commit, []);
    const manifest = await this.#uploader.nextManifest(base.object, []);
    return this.#swap(base, maintenance, { ...manifest, dropping: [] });
  }

  /** Releases the lease: a manifest lists the packs by now. */
  async release(): Promise<void> {
    await this.#uploader.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #copyOf({ digest, pack }: LiveRow): RunRow {
    const copy = this.repacker.copyOf(digest);
    if (copy !== undefined) return copy;
    throw new SynclineError("internal", `A block of ${pack} was not copied.`);
  }

  /** By ascending digest. */
  *#rows(live: LiveRows, going: ReadonlySet<PackName>): Generator<RunRow> {
    for (const row of live.sorted()) yield going.has(row.pack) ? this.#copyOf(row) : row;
  }

  async #putRun(live: LiveRows, going: ReadonlySet<PackName>): Promise<RunReference[]> {
    const { store, random } = this.#options;
    if (live.size === 0) return [];
    const run = await putRun(random, [this.#rows(live, going)], async (name, body) => {
      const outcome = await store.putNew(name, body, { durable: "later" });
      if (outcome.kind !== "stored") throw notStored(store.address, name, outcome);
    });
    this.#writtenBytes += pagesOfRun(run.rows) * RUN_PAGE_BYTES;
    return [run];
  }

  async #swap({ root }: CollectionBase, maintenance: Maintenance, manifest: Manifest): Promise<SwapOutcome> {
    const { cid } = maintenance.made.commit;
    const built = buildPack(commitObjectName(cid), blocksOf(maintenance), encodeManifest(manifest));
    const { store } = this.#options;
    if (!(await this.#uploader.putBuilt(built))) throw notStored(store.address, built.pack.name, { kind: "refused" });
    this.#writtenBytes += built.pack.size;
    await store.settle();
    return this.#roots.swap(ONLY_BUCKET, root.commit, cid, root.version);
  }
}
