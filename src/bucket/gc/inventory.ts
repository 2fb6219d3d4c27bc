/** What a bucket's store holds, for the collector: objects, where blocks are mapped, and what others protect. */
import { mapConcurrent } from "../../base/concurrency.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { STORE_CONCURRENCY } from "../../base/limits.ts";
import { decodeLease } from "../../format/commits/lease.ts";
import { BASES_FOLDER, isClaimName, isRunName, LEASE_FOLDER, parsePackName } from "../../format/blocks/object-name.ts";
import { decodeBases } from "../../format/blocks/root-object.ts";
import type { RunRow } from "../../format/blocks/run.ts";
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
    if (isRunName(info.name)) runs.push(info);
  }
  return { packs, runs, objects, bytes };
}

/** What others protect. */
export interface Claims {
  /** Packs that running uploads have stored or are about to store. */
  readonly leased: ReadonlySet<PackName>;
  /** Base roots of unpublished changes; "all" where a base cannot be read. */
  readonly bases: ReadonlySet<Cid> | "all";
  readonly passedOver: readonly PassedOver[];
}

/** A lease or base that could not be read and was ignored. */
export interface PassedOver {
  readonly object: string;
  /** For people. */
  readonly what: string;
}

/**
 * The claims of leases and bases written after these times (the store's dates, ms since 1970). Throws `store_corrupt` for
 * an unreadable lease of that age: what it protects is unknown, so nothing may be taken.
 */
export async function readClaims(store: ObjectStore, leasesAfterMs: number, basesAfterMs: number): Promise<Claims> {
  const passedOver: PassedOver[] = [];
  const leased = new Set<PackName>();
  for (const { name, modifiedMs, claim } of await readAll(store, LEASE_FOLDER, decodeLease)) {
    const isAlive = modifiedMs >= leasesAfterMs;
    if (isAlive && "error" in claim) throw heldBack(name, claim.error);
    if ("error" in claim) passedOver.push(unreadable(name, claim.error));
    else if (isAlive) for (const pack of claim.value) leased.add(pack);
  }
  const roots = new Set<Cid>();
  let bases: Claims["bases"] = roots;
  for (const { name, modifiedMs, claim } of await readAll(store, BASES_FOLDER, decodeBases)) {
    const isAlive = modifiedMs >= basesAfterMs;
    if ("error" in claim) passedOver.push(unreadable(name, claim.error));
    if (isAlive && "error" in claim) bases = "all";
    else if (isAlive && "value" in claim) for (const { commit } of claim.value) roots.add(commit);
  }
  return { leased, bases, passedOver };
}

/** Leases and bases that have expired: last written before these times. Objects with other names stay. */
export async function* expiredClaims(
  store: ObjectStore,
  leasesBeforeMs: number,
  basesBeforeMs: number,
): AsyncGenerator<ObjectInfo> {
  for (const [folder, beforeMs] of [[LEASE_FOLDER, leasesBeforeMs] as const, [BASES_FOLDER, basesBeforeMs] as const]) {
    for await (const { name } of store.list(folder)) {
      if (!isClaimName(name)) continue;
      // Checked again just before: a list may be old by the time it ends.
      const info = await store.head(name);
      if (info !== undefined && info.modifiedMs < beforeMs) yield info;
    }
  }
}

type Claim<Value> = { readonly value: Value } | { readonly error: SynclineError };

/** Everything in a folder, decoded. Throws `store_unreachable`; any other error of a claim becomes its value. */
async function readAll<Value>(store: ObjectStore, folder: string, decode: (bytes: Uint8Array) => Value) {
  const found: ObjectInfo[] = [];
  for await (const info of store.list(folder)) found.push(info);
  const read = await mapConcurrent(found, STORE_CONCURRENCY, async ({ name, modifiedMs }) => {
    const claim = await claimIn(store, name, decode);
    return claim === undefined ? [] : [{ name, modifiedMs, claim }];
  });
  return read.flat();
}

/** Undefined if it is gone by now. */
async function claimIn<Value>(
  store: ObjectStore,
  name: string,
  decode: (bytes: Uint8Array) => Value,
): Promise<Claim<Value> | undefined> {
  try {
    const object = await store.get(name);
    return object && { value: decode(object.bytes) };
  } catch (error) {
    if (!(error instanceof SynclineError) || hasCode(error, "store_unreachable")) throw error;
    return { error };
  }
}

function unreadable(object: string, error: SynclineError): PassedOver {
  return { object, what: `cannot be read: ${error.message}` };
}

function heldBack(name: string, cause: SynclineError): SynclineError {
  const message = `Cannot read ${name}, so what it protects is unknown. Nothing was collected. ${cause.message}`;
  return new SynclineError("store_corrupt", message, {
    hint: "It is skipped once it is a day old. If that writer no longer uploads, you can delete the object.",
    cause,
  });
}

/**
 * Every row that the root maps, in the order of reading: newest packs first, then runs from the newest on. A block may come
 * several times. Throws `object_not_found`, `store_corrupt`.
 */
export async function* mappedRows(directory: PackDirectory, object: CommitObject): AsyncGenerator<RunRow> {
  const { pack, footer, manifest } = object;
  for (const row of footer) yield { ...row, pack: pack.name };
  for (const loose of manifest.loose.toReversed()) {
    for (const row of await directory.footer(loose)) yield { ...row, pack: loose.name };
  }
  for (const run of manifest.runs.toReversed()) yield* rowsOfRun(directory, run);
}
