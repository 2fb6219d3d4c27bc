/** Stores packs, runs and commit objects of one upload session, and counts the cost. */
import { mapConcurrent } from "../../base/concurrency.ts";
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { FOOTER_CACHE_BYTES, MAX_LOOSE_PACKS, MAX_RUNS, STORE_CONCURRENCY } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import type { Block } from "../../blocks/block-store.ts";
import { EMPTY_MANIFEST, type LoosePack, type Manifest, type RunReference } from "../../format/blocks/manifest.ts";
import { footerBytes, type PackFooter } from "../../format/blocks/pack.ts";
import { notStored, type ObjectBody, type ObjectStore } from "../../objects/object-store.ts";
import type { Lease } from "./lease.ts";
import { type BuiltPack, buildPack } from "../../packs/pack-builder.ts";
import type { CommitObject, PackDirectory } from "./pack-directory.ts";
import { type PackRows, putRun, rowsOfPacks, rowsOfRun, countRunsToMerge } from "./run-merge.ts";

export interface UploadedPack {
  readonly pack: LoosePack;
  readonly footer: PackFooter;
}

export interface UploadCost {
  requests: number;
  bytes: number;
  blocks: number;
}

export interface UploadTools {
  readonly store: ObjectStore;
  readonly directory: PackDirectory;
  readonly lease: Lease;
  readonly random: Random;
}

export class PackUploader {
  readonly #tools: UploadTools;
  /** Names that this session leased, used or not. */
  readonly #leased: PackName[] = [];
  #cost: UploadCost = { requests: 0, bytes: 0, blocks: 0 };

  constructor(tools: UploadTools) {
    this.#tools = tools;
  }

  /** Whether blocks of a stored pack may be freed. */
  get isDoneWithBlocks(): boolean {
    return this.#tools.store.isDoneWithBodies === true;
  }

  readonly countPut = (bytes: number): void => {
    this.#cost.requests++;
    this.#cost.bytes += bytes;
  };

  /** What was spent since the last call. */
  takeCost(): UploadCost {
    const cost = this.#cost;
    this.#cost = { requests: 0, bytes: 0, blocks: 0 };
    return cost;
  }

  /** Stores a pack under a leased name. Durable once the store has settled. The result holds no bytes of blocks. */
  async putPack(blocks: readonly Block[]): Promise<UploadedPack> {
    const name = await this.#tools.lease.draw(this.countPut);
    this.#leased.push(name);
    const built = buildPack(name, blocks);
    if (!(await this.putBuilt(built))) throw notStored(this.#tools.store.address, built.pack.name, { kind: "refused" });
    const { pack, footer } = built;
    return { pack, footer };
  }

  /** Also leases objects that are stored already. */
  async hold(names: readonly PackName[]): Promise<void> {
    this.#leased.push(...names);
    await this.#tools.lease.hold(names, this.countPut);
  }

  /** Writes the lease again if it is old. */
  refreshLease(): Promise<void> {
    return this.#tools.lease.refresh(this.countPut);
  }

  /** Releases the lease at the session's end: a manifest lists the packs, or never will. */
  async release(): Promise<void> {
    // A leftover lease only delays the collector.
    await this.#tools.lease.release(this.#leased.splice(0)).catch(() => {});
  }

  /** False if an object of this name is there already. Durable once the store has settled. */
  async putBuilt({ pack, body, blocks }: BuiltPack): Promise<boolean> {
    const outcome = await this.#tools.store.putNew(pack.name, body, { durable: "later" });
    if (outcome.kind === "unknown") throw notStored(this.#tools.store.address, pack.name, outcome);
    if (outcome.kind === "refused") return false;
    this.countPut(pack.size);
    this.#cost.blocks += blocks;
    return true;
  }

  /**
   * The manifest of the next commit object after `parent`, including `added`. If that exceeds the limit of loose packs,
   * they go into a run, which is stored.
   */
  async nextManifest(parent: CommitObject | undefined, added: readonly UploadedPack[]): Promise<Manifest> {
    const manifest = parent?.manifest ?? EMPTY_MANIFEST;
    const own = parent === undefined ? [] : [parent.pack];
    // No pack may be listed twice.
    const byName = new Map(
      [...manifest.loose, ...own, ...added.map(({ pack }) => pack)].map((pack) => [pack.name, pack]),
    );
    const loose = [...byName.values()];
    if (loose.length <= MAX_LOOSE_PACKS) return { ...manifest, loose };
    const known = parent === undefined ? added : [parent, ...added];
    return this.#compact(manifest, loose, new Map(known.map(({ pack, footer }) => [pack.name, footer])));
  }

  /**
   * Puts loose packs into a run: those whose footer is `known`, and of the others as many as memory allows. A damaged pack
   * stays loose, and a damaged run stays listed, so that publishing continues until they are repaired.
   */
  async #compact(
    manifest: Manifest,
    packs: readonly LoosePack[],
    known: ReadonlyMap<PackName, PackFooter>,
  ): Promise<Manifest> {
    const { directory } = this.#tools;
    const left = new Set(beyondMemory(packs.filter(({ name }) => !known.has(name))));
    const read = await mapConcurrent(packs, STORE_CONCURRENCY, async (pack) => ({
      pack,
      footer: left.has(pack)
        ? undefined
        : (known.get(pack.name) ?? (await unlessDamaged(() => directory.footer(pack)))),
    }));
    // Of several copies the run keeps the newest: a block is stored again if its older copy is damaged.
    const rows = read
      .toReversed()
      .flatMap(({ pack, footer }) => (footer === undefined ? [] : [{ pack: pack.name, footer }]));
    const loose = read.flatMap(({ pack, footer }) => (footer === undefined ? [pack] : []));
    const newRows = rows.reduce((sum, { footer }) => sum + footer.count, 0);
    const { runs } = manifest;
    for (let keep = runs.length - countRunsToMerge(runs, newRows); keep <= runs.length && keep < MAX_RUNS; keep++) {
      const merged = await unlessDamaged(() => this.#putRun(rows, runs.slice(keep)));
      if (merged !== undefined) return { ...manifest, runs: [...runs.slice(0, keep), merged], loose };
    }
    throw new SynclineError("store_corrupt", "A run of the bucket is damaged.", {
      hint: "Run `syncline verify --repair` on the bucket.",
    });
  }

  async #putRun(packs: readonly PackRows[], runs: readonly RunReference[]): Promise<RunReference> {
    const { directory, random } = this.#tools;
    const sources = [rowsOfPacks(packs), ...runs.toReversed().map((run) => rowsOfRun(directory, run))];
    return putRun(random, sources, (name, body) => this.#put(name, body));
  }

  async #put(name: string, body: ObjectBody): Promise<void> {
    let bytes = 0;
    const counting = async function* () {
      for await (const chunk of body) {
        bytes += chunk.length;
        yield chunk;
      }
    };
    const { store } = this.#tools;
    const outcome = await store.putNew(name, counting(), { durable: "later" });
    if (outcome.kind !== "stored") throw notStored(store.address, name, outcome);
    this.countPut(bytes);
  }
}

/** The largest of these packs, without which the footers of the rest fit into memory. */
function beyondMemory(packs: readonly LoosePack[]): LoosePack[] {
  let bytes = 0;
  return packs
    .toSorted((a, b) => footerBytes(a) - footerBytes(b))
    .filter((pack) => (bytes += footerBytes(pack)) > FOOTER_CACHE_BYTES);
}
