/** Stores packs, runs and commit objects of one upload session, and counts what that costs. */
import { SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { MAX_LOOSE_PACKS } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import type { Block } from "../../blocks/block-store.ts";
import type { LoosePack, Manifest, RunReference } from "../../format/manifest.ts";
import { OBJECT_ID_BYTES, runName } from "../../format/object-name.ts";
import type { PackFooter } from "../../format/pack.ts";
import type { ObjectBody, ObjectStore } from "../../objects/object-store.ts";
import type { Lease } from "./lease.ts";
import { type BuiltPack, buildPack } from "./pack-builder.ts";
import type { CommitObject, PackDirectory } from "./pack-directory.ts";
import { mergePages, rowsOfPacks, rowsOfRun, runsToMerge } from "./run-merge.ts";

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
  #cost: UploadCost = { requests: 0, bytes: 0, blocks: 0 };

  constructor(tools: UploadTools) {
    this.#tools = tools;
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

  /** Stores a pack under a leased name. Durable once the store has settled. */
  async putPack(blocks: readonly Block[]): Promise<UploadedPack> {
    const built = buildPack(await this.#tools.lease.draw(this.countPut), blocks);
    if (!(await this.putBuilt(built))) throw notStored(built.pack.name);
    return built;
  }

  /** False if an object of this name is there already. Durable once the store has settled. */
  async putBuilt({ pack, body, blocks }: BuiltPack): Promise<boolean> {
    const outcome = await this.#tools.store.putNew(pack.name, body, "later");
    if (outcome.kind === "unknown") throw notStored(pack.name, outcome.cause);
    if (outcome.kind === "refused") return false;
    this.countPut(pack.size);
    this.#cost.blocks += blocks;
    return true;
  }

  /**
   * The manifest of the next commit object after `parent`, which lists `added` too. Where that would be more loose packs than
   * allowed, all of them go into a run, which is stored. Throws `object_not_found`, `store_corrupt` if a run cannot be read.
   */
  async nextManifest(parent: CommitObject | undefined, added: readonly UploadedPack[]): Promise<Manifest> {
    if (parent === undefined) return { gcEpoch: 0, runs: [], loose: added.map(({ pack }) => pack), dropping: [] };
    const { gcEpoch, runs, loose, dropping } = parent.manifest;
    const all = [...loose, parent.pack, ...added.map(({ pack }) => pack)];
    if (all.length <= MAX_LOOSE_PACKS) return { gcEpoch, runs, loose: all, dropping };
    for (const { pack, footer } of added) this.#tools.directory.addFooter(pack.name, footer);
    return { gcEpoch, runs: await this.#compact(runs, all), loose: [], dropping };
  }

  async #compact(runs: readonly RunReference[], packs: readonly LoosePack[]): Promise<RunReference[]> {
    const { directory, random } = this.#tools;
    const footers = await Promise.all(
      packs.map(async (pack) => ({ pack: pack.name, footer: await directory.footer(pack) })),
    );
    const newRows = packs.reduce((sum, { rows }) => sum + rows, 0);
    const kept = runs.slice(0, runs.length - runsToMerge(runs, newRows));
    const merged = runs.slice(kept.length).toReversed();
    const id = Buffer.from(random.bytes(OBJECT_ID_BYTES)).toString("hex");
    let rows = 0;
    const sources = [rowsOfPacks(footers), ...merged.map((run) => rowsOfRun(directory, run))];
    await this.#put(
      runName(id),
      mergePages(sources, (count) => (rows = count)),
    );
    return [...kept, { id, rows }];
  }

  async #put(name: string, body: ObjectBody): Promise<void> {
    let bytes = 0;
    const counting = async function* () {
      for await (const chunk of body) {
        bytes += chunk.length;
        yield chunk;
      }
    };
    const outcome = await this.#tools.store.putNew(name, counting(), "later");
    if (outcome.kind !== "stored") throw notStored(name, outcome.kind === "unknown" ? outcome.cause : undefined);
    this.countPut(bytes);
  }
}

function notStored(name: PackName | string, cause?: unknown): SynclineError {
  return new SynclineError("store_unreachable", `It is not known whether ${name} was stored.`, { cause });
}
