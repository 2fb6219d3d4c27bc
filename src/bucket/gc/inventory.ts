/** What a bucket's store holds as the collector sees it: objects, which blocks are mapped where, and what others ask to be spared. */
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { STORE_CONCURRENCY } from "../../base/limits.ts";
import { decodeLease } from "../../format/lease.ts";
import { BASES_FOLDER, LEASE_FOLDER, parsePackName, RUN_FOLDER } from "../../format/object-name.ts";
import { decodeRoot } from "../../format/root-object.ts";
import type { RunRow } from "../../format/run.ts";
import type { ObjectInfo, ObjectStore } from "../../objects/object-store.ts";
import type { CommitObject, PackDirectory } from "../packed/pack-directory.ts";
import { rowsOfRun } from "../packed/run-merge.ts";

/** All objects at one moment. */
export interface Inventory {
  readonly packs: ReadonlyMap<PackName, ObjectInfo>;
  readonly runs: readonly ObjectInfo[];
  readonly objects: number;
  readonly bytes: number;
}

export async function takeInventory(store: ObjectStore): Promise<Inventory> {
  const packs = new Map<PackName, ObjectInfo>();
  const runs: ObjectInfo[] = [];
  let [objects, bytes] = [0, 0];
  for await (const info of store.list("")) {
    objects++;
    bytes += info.size;
    const pack = parsePackName(info.name);
    if (pack !== undefined) packs.set(pack, info);
    if (info.name.startsWith(RUN_FOLDER)) runs.push(info);
  }
  return { packs, runs, objects, bytes };
}

/** What others ask to be spared, as far as it was written after these times (the store's dates, ms since 1970). */
export interface Claims {
  /** Packs that uploads under way have stored, or are about to. */
  readonly leased: ReadonlySet<PackName>;
  /** Roots on which unpublished changes stand. */
  readonly bases: ReadonlySet<Cid>;
}

/** Throws `format_invalid` for a lease that cannot be read: nobody knows what it asks for. */
export async function readClaims(store: ObjectStore, leasesAfterMs: number, basesAfterMs: number): Promise<Claims> {
  const leased = new Set<PackName>();
  for (const bytes of await readAll(store, LEASE_FOLDER, leasesAfterMs)) {
    for (const pack of decodeLease(bytes)) leased.add(pack);
  }
  const bases = await readAll(store, BASES_FOLDER, basesAfterMs);
  return { leased, bases: new Set(bases.map((bytes) => decodeRoot(bytes).commit)) };
}

/**
 * Deletes what claims nothing any more: leases and bases last written before these times. One that is being written at this moment may go
 * with them: its writer then finds out at its next swap what was taken, as after any collection.
 */
export async function removeExpired(store: ObjectStore, leasesBeforeMs: number, basesBeforeMs: number): Promise<void> {
  for (const [folder, beforeMs] of [[LEASE_FOLDER, leasesBeforeMs] as const, [BASES_FOLDER, basesBeforeMs] as const]) {
    for await (const { name } of store.list(folder)) {
      // Asked again right before, since a list may be old when it ends.
      const info = await store.head(name);
      if (info !== undefined && info.modifiedMs < beforeMs) await store.delete(name);
    }
  }
}

async function readAll(store: ObjectStore, folder: string, afterMs: number): Promise<Uint8Array[]> {
  const names: string[] = [];
  for await (const { name, modifiedMs } of store.list(folder)) if (modifiedMs >= afterMs) names.push(name);
  const objects = await mapConcurrent(names, STORE_CONCURRENCY, (name) => store.get(name));
  return objects.flatMap((object) => object?.bytes ?? []);
}

/**
 * Every row that the root maps, as readers find them: newest packs first, then runs from the newest on. A block may come several
 * times. Throws `object_not_found`, `store_corrupt`.
 */
export async function* mappedRows(directory: PackDirectory, object: CommitObject): AsyncGenerator<RunRow> {
  const { pack, footer, manifest } = object;
  for (const row of footer) yield { ...row, pack: pack.name };
  for (const loose of manifest.loose.toReversed()) {
    for (const row of await directory.footer(loose)) yield { ...row, pack: loose.name };
  }
  for (const run of manifest.runs.toReversed()) yield* rowsOfRun(directory, run);
}
