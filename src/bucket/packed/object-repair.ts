/**
 * Repairs a bucket's objects (`verify --repair`). Damaged packs are healed in place, block by block. Where that is not
 * enough, a new run is made from the footers of all packs, and the newest commit object gets a manifest that refers to it.
 * Then the same root is swapped in once more: agents that have read the old manifest see that it changed.
 */
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { blake3 } from "../../crypto/hash.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import { BASES_LIFE_MS, LEASE_LIFE_MS } from "../../format/commits/lease.ts";
import { EMPTY_MANIFEST, encodeManifest } from "../../format/blocks/manifest.ts";
import {
  BASES_FOLDER,
  commitObjectName,
  GENESIS_OBJECT,
  isClaimName,
  LEASE_FOLDER,
  parsePackName,
  ROOT_OBJECT,
} from "../../format/blocks/object-name.ts";
import {
  decodeFooter,
  encodeFooter,
  footerOffset,
  PACK_TAIL_BYTES,
  PLAIN,
  type PackRow,
  type PackShape,
  readTail,
} from "../../format/blocks/pack.ts";
import { decodeRoot } from "../../format/blocks/root-object.ts";
import { type ObjectStore, putOver } from "../../objects/object-store.ts";
import { BlockCopies } from "./block-copies.ts";
import { auditObjects, type ObjectDamage } from "./object-audit.ts";
import { mendGenesis } from "./genesis-object.ts";
import { PackDirectory } from "./pack-directory.ts";
import { type HealedPack, healBlocks, provenShape, readRows } from "../../packs/pack-healing.ts";
import { endOf } from "../../packs/pack-rows.ts";
import { PlacementIndex } from "./placement-index.ts";
import { rebuildPlacement } from "./placement-rebuild.ts";
import { RepairedRoot } from "./repaired-root.ts";
import { rowsOfRun } from "./run-merge.ts";

export interface RepairOptions {
  readonly random: Random;
  /** Where lost blocks may still exist: the caches of this machine. */
  readonly local?: BlockReader | undefined;
  /** Reachable blocks that could not be read, besides those that an audit finds by itself. */
  readonly wanted?: Iterable<Cid>;
}

export interface ObjectRepair {
  /** What was done, for people. */
  readonly repaired: readonly { readonly object: string; readonly what: string }[];
  /** The remaining damage, as a new audit found it. */
  readonly damage: readonly ObjectDamage[];
}

/** A bucket whose objects can be repaired: a PackedRemote. */
export interface RepairableRemote {
  readonly store: ObjectStore;
  /** Forgets what was read of manifests and footers. */
  forgetPlacement(): void;
}

/** Repairs what it can. Throws `store_unreachable`, `disk_full`, and `root_moved` after a publication meanwhile. */
export async function repairObjects(remote: RepairableRemote, options: RepairOptions): Promise<ObjectRepair> {
  const unread = new Set<string>();
  const store = remote.store.salvaging?.((name) => unread.add(name)) ?? remote.store;
  const { random, local, wanted = [] } = options;
  const repaired: { object: string; what: string }[] = [];
  const root = await RepairedRoot.read(store);
  const before = await auditObjects(remote);
  const copies = new BlockCopies(store, local);
  await copies.readFooters();
  let mapLost = false;
  for (const pack of await damagedPacks(store, before.damage)) {
    const healed = await healPack(store, root, copies, pack, unread);
    if (healed !== undefined) repaired.push({ object: pack.name, what: healed.what });
    mapLost ||= pack.newest && healed?.manifestLost !== false;
  }
  const after = await auditObjects(remote, { blocks: false });
  if (after.damage.some(({ object }) => object === GENESIS_OBJECT)) {
    const what = await mendGenesis(store, copies, root.commit);
    if (what !== undefined) repaired.push({ object: GENESIS_OBJECT, what });
  }
  const all = [...wanted];
  const lacking = all.filter((cid) => !copies.isListed(digestOf(cid)));
  const isMisplaced = ({ cid, object }: ObjectDamage) => !isNoPlace(object) && (cid === undefined || isRun(object));
  if (mapLost || lacking.length > 0 || after.damage.some(isMisplaced) || (await areUnmapped(store, root, all))) {
    const damaged = new Set(before.damage.map(({ object }) => object));
    const what = await rebuildPlacement({ store, root, copies, random, lacking, damaged });
    if (what !== undefined) repaired.push({ object: ROOT_OBJECT, what });
  }
  repaired.push(...(await dropOldClaims(store, before.damage)));
  remote.forgetPlacement();
  return { repaired, damage: (await auditObjects(remote)).damage };
}

/** Whether a pack holds some of these blocks, but the newest manifest maps them nowhere: an earlier repair was killed. */
async function areUnmapped(store: ObjectStore, { commit }: RepairedRoot, stored: readonly Cid[]): Promise<boolean> {
  const directory = new PackDirectory(store);
  const object = commit && (await unlessDamaged(() => directory.commitObject(commit)));
  if (object === undefined) return false;
  const { found } = await new PlacementIndex(directory, object).locate(stored);
  return stored.some((cid) => !found.has(cid));
}

interface DamagedPack {
  readonly name: PackName;
  /** Whether it is the commit object of the root. */
  readonly newest: boolean;
  /** Its rows in intact runs. */
  readonly rows: readonly PackRow[];
  /** Its shape in the manifest. */
  readonly shape: PackShape | undefined;
}

async function damagedPacks(store: ObjectStore, damage: readonly ObjectDamage[]): Promise<DamagedPack[]> {
  const names = new Set(damage.flatMap(({ object }) => parsePackName(object) ?? []));
  const directory = new PackDirectory(store);
  const root = await unlessDamaged(() => store.get(ROOT_OBJECT));
  const commit = root && (await unlessDamaged(async () => decodeRoot(root.bytes).commit));
  const manifest = commit && (await unlessDamaged(async () => (await directory.commitObject(commit)).manifest));
  const rows = new Map<PackName, PackRow[]>([...names].map((name) => [name, []]));
  for (const run of manifest?.runs ?? []) {
    await unlessDamaged(async () => {
      for await (const row of rowsOfRun(directory, run)) rows.get(row.pack)?.push(row);
    });
  }
  return [...rows].map(([name, inRuns]) => ({
    name,
    newest: commit !== undefined && name === commitObjectName(commit),
    rows: inRuns,
    shape: manifest?.loose.find((pack) => pack.name === name),
  }));
}

interface Healing {
  readonly what: string;
  /** Whether the manifest could not be proven intact: an empty one replaces it. */
  readonly manifestLost: boolean;
}

/** Undefined if nothing could be done. */
async function healPack(
  store: ObjectStore,
  root: RepairedRoot,
  copies: BlockCopies,
  pack: DamagedPack,
  unread: ReadonlySet<string>,
): Promise<Healing | undefined> {
  const { name } = pack;
  // An intact footer in a form unknown to this version is no damage to heal.
  const footer = copies.footers.get(name)?.footer;
  if (footer !== undefined && [...footer].some(({ codec }) => codec !== PLAIN)) return undefined;
  const read = await unlessDamaged(async () => ({ object: await store.get(name) }));
  if (read === undefined) return undefined;
  const { object } = read;
  const bytes = object?.bytes ?? new Uint8Array();
  const shape = await shapeOf(bytes, pack);
  if (shape === undefined) return undefined;
  const start = footerOffset(shape);
  const own = bytes.length === shape.size ? readRows(bytes, start, shape.manifestBytes) : [];
  const healed = await healBlocks(bytes, start, [...pack.rows, ...own], (digest) => copies.find(digest));
  const end = newEnd(healed, shape.manifestBytes, bytes);
  const nothingLeft = healed.lost.size === healed.rows.length && !end.proven;
  if (own.length + pack.rows.length === 0 || nothingLeft) return undefined;
  // A later read may succeed, and replacing the pack would discard what has no copy.
  if (unread.has(name) && (healed.lost.size > 0 || healed.guessed > 0)) return undefined;
  const whole = [healed.blocks, end.bytes];
  if (Buffer.compare(Buffer.concat(whole), bytes) === 0) return undefined;
  // A missing pack may have been collected: then the root has moved.
  if (object === undefined) await root.check();
  const outcome = await putOver(store, name, whole, object?.token);
  if (outcome.kind !== "stored") throw new SynclineError("store_failed", `Could not replace ${name}.`);
  await copies.readFooter(name);
  const what = `healed blocks: ${healed.healed}, without a copy: ${healed.lost.size}`;
  return { what, manifestLost: shape.manifestBytes > 0 && !end.proven };
}

/**
 * Footer and tail of the healed pack. The old footer's hash proves rows and manifest, including rows that identify blocks
 * with wrong bytes. An unproven manifest is dropped: only the newest one is ever used, and that can be rebuilt.
 */
function newEnd(healed: HealedPack, manifestBytes: number, old: Uint8Array): { bytes: Uint8Array; proven: boolean } {
  const { blocks, rows, lost } = healed;
  const end = old.length - PACK_TAIL_BYTES;
  const manifest = old.subarray(Math.max(0, end - manifestBytes), Math.max(0, end));
  const relabelled = rows.map(({ digest, offset, length, codec }) => {
    const own = lost.has(digest) ? blake3(blocks.subarray(offset, offset + length)) : digest;
    return { digest: own, offset, length, codec };
  });
  for (const candidate of [rows, relabelled]) {
    const { bytes } = encodeFooter(candidate, manifest);
    const tail = bytes.subarray(-PACK_TAIL_BYTES);
    if (Buffer.compare(tail, old.subarray(-PACK_TAIL_BYTES)) === 0) return { bytes, proven: true };
  }
  const empty = manifestBytes > 0 ? encodeManifest(EMPTY_MANIFEST) : new Uint8Array();
  return { bytes: encodeFooter(rows, empty).bytes, proven: false };
}

/** The shape that the pack has, or should have. Blocks that runs list are before its footer, whatever its bytes look like. */
async function shapeOf(bytes: Uint8Array, { shape, rows }: DamagedPack): Promise<PackShape | undefined> {
  const own = await unlessDamaged(async () => {
    const told = readTail(bytes, bytes.length);
    decodeFooter(bytes.subarray(footerOffset(told)), told);
    return told;
  });
  if (own !== undefined && endOf(rows) <= footerOffset(own)) return own;
  // The pack was cut, and its last bytes are no tail.
  if (shape !== undefined && shape.size !== bytes.length) return shape;
  const told = [provenShape(bytes), shape, await unlessDamaged(async () => readTail(bytes, bytes.length))];
  return told.find((each) => each !== undefined && endOf(rows) <= footerOffset(each)) ?? shapeOfRows(rows);
}

/** The shape of a pack that is known only from runs. */
function shapeOfRows(rows: readonly PackRow[]): PackShape | undefined {
  if (rows.length === 0) return undefined;
  return { size: endOf(rows) + encodeFooter(rows, new Uint8Array()).bytes.length, rows: rows.length, manifestBytes: 0 };
}

/** Deletes unreadable leases and bases that have expired by the store's date. */
async function dropOldClaims(store: ObjectStore, damage: readonly ObjectDamage[]) {
  const nowMs = await store.now();
  const dropped: { object: string; what: string }[] = [];
  for (const { object } of damage.filter((each) => isClaimName(each.object))) {
    const lifeMs = object.startsWith(LEASE_FOLDER) ? LEASE_LIFE_MS : BASES_LIFE_MS;
    const modifiedMs = (await store.head(object))?.modifiedMs;
    if (nowMs === undefined || modifiedMs === undefined || modifiedMs > nowMs - lifeMs) continue;
    await store.delete(object);
    dropped.push({ object, what: "deleted: unreadable, and too old to protect anything" });
  }
  return dropped;
}

/** Whether the object tells nothing about where blocks are. */
function isNoPlace(object: string): boolean {
  return object === GENESIS_OBJECT || object.startsWith(LEASE_FOLDER) || object.startsWith(BASES_FOLDER);
}

function isRun(object: string): boolean {
  return object.startsWith("run/");
}
