/**
 * Checks a master's data folder (`syncline verify --data`): every block of every pack against its hash, footers and
 * journals, each owner's index against the packs, and that each root reaches only stored blocks. It changes nothing that a
 * master would notice. The caller must hold the folder (data-folder.ts).
 */
import { addAll } from "../../base/collections.ts";
import type { Wallet } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import { PLAIN } from "../../format/blocks/pack.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import type { BucketName, Root } from "../../roots/root-store.ts";
import { SqliteRootStore } from "../../roots/sqlite-root-store.ts";
import { BlockIndex, isUnreadable, type PackPlacement, temporaryIndex } from "./block-index.ts";
import { type DataDamage, dataDamage } from "./damage.ts";
import { rootsPath } from "./data-folder.ts";
import { auditIndex } from "./index-audit.ts";
import { rolledBack } from "./known-roots.ts";
import { listOwners, ownerFolder } from "./master-store.ts";
import { indexPath, packsFolder } from "./owner-packs.ts";
import { auditPacks } from "./pack-audit.ts";
import type { PackDisk } from "./pack-disk.ts";
import { PackHandles } from "./pack-handles.ts";
import { auditReach } from "./reach-audit.ts";
import { listPacks, openForReading } from "./pack-path.ts";
import { holdsIntact } from "../../packs/block-check.ts";

export interface DataReport {
  readonly owners: number;
  readonly buckets: number;
  readonly packs: number;
  readonly blocks: number;
  readonly bytes: number;
  /** Empty: no damage. */
  readonly damage: readonly DataDamage[];
}

export interface DataAuditOptions {
  readonly dir: string;
  readonly disk: PackDisk;
  readonly databases?: Databases | undefined;
  /** Called with the size of the packs to be hashed, including footers. */
  readonly onTotal?: (bytes: number) => void;
  /** Called with the number of bytes hashed since the last call. */
  readonly onBytes: (bytes: number) => void;
}

/** Throws the system's errors; damaged or missing blocks are in the report. */
export async function auditData(options: DataAuditOptions): Promise<DataReport> {
  const { dir, disk, databases = systemDatabases } = options;
  const { roots, damage } = readRoots(rootsPath(dir), databases);
  const owners = new Set<Wallet>([...(await listOwners(disk, dir)), ...roots.map(({ name }) => name.owner as Wallet)]);
  options.onTotal?.(await sizeOfPacks(options, owners));
  let [packs, blocks, bytes] = [0, 0, 0];
  for (const owner of [...owners].toSorted()) {
    const buckets = roots.filter(({ name }) => name.owner === owner);
    const part = await auditOwner(options, owner, buckets);
    packs += part.packs;
    blocks += part.blocks;
    bytes += part.bytes;
    addAll(
      damage,
      part.damage.map((item) => Object.assign({}, item, { owner })),
    );
  }
  return { owners: owners.size, buckets: roots.length, packs, blocks, bytes, damage };
}

async function sizeOfPacks({ dir, disk }: DataAuditOptions, owners: Iterable<Wallet>): Promise<number> {
  let bytes = 0;
  for (const owner of owners) {
    const folder = packsFolder(ownerFolder(dir, owner));
    const { sealed, open } = await listPacks(disk, folder);
    for (const name of new Set([...sealed, ...open])) {
      const file = await openForReading(disk, folder, name);
      bytes += (await file?.size()) ?? 0;
      await file?.close();
    }
  }
  return bytes;
}

interface NamedRoot {
  readonly name: BucketName;
  readonly root: Root;
}

function readRoots(path: string, databases: Databases): { roots: NamedRoot[]; damage: DataDamage[] } {
  if (!databases.exists(path)) return { roots: [], damage: [] };
  try {
    using store = new SqliteRootStore(path, databases);
    return { roots: store.all(), damage: [] };
  } catch (error) {
    return { roots: [], damage: [dataDamage("roots", `the table of roots cannot be read: ${describeError(error)}`)] };
  }
}

type OwnerReport = Pick<DataReport, "packs" | "blocks" | "bytes" | "damage">;

async function auditOwner(
  { dir, disk, databases = systemDatabases, onBytes }: DataAuditOptions,
  owner: Wallet,
  buckets: readonly NamedRoot[],
): Promise<OwnerReport> {
  const folder = packsFolder(ownerFolder(dir, owner));
  const handles = new PackHandles(disk);
  const found = temporaryIndex();
  const { index, damage } = readIndex(indexPath(ownerFolder(dir, owner)), databases);
  try {
    const audit = await auditPacks({ disk, folder, index, found, onBytes });
    // The index knows one of two copies; if that one is intact, the other does not matter.
    addAll(
      damage,
      audit.damage.filter((item) => !isSuperseded(item, found)),
    );
    const walked = new Set<string>();
    const read = ({ pack, offset, length }: PackPlacement) =>
      handles.use(folder, pack, (file) => file.read(offset, length));
    for (const { name, root } of buckets) {
      for (const { cid, what } of await auditReach({ read, found, walked }, root.commit)) {
        damage.push(dataDamage("missing", what, { bucket: name.bucket, root: root.commit, cid }));
      }
    }
    if (index !== undefined) {
      const rows = buckets.map(({ name, root }) => Object.assign({ bucket: name.bucket }, root));
      for (const { bucket, commit, version } of rolledBack(index.roots.list(), rows)) {
        const what = `the table of roots is older than this root (version ${version}), or lacks it`;
        damage.push(dataDamage("roots", what, { bucket, root: commit }));
      }
      const holds = async (row: { pack: string; digest: Buffer; offset: number; length: number }) =>
        (await handles.use(folder, row.pack, (file) => holdsIntact(file, { ...row, codec: PLAIN }))) === true;
      addAll(damage, await auditIndex(index, found, holds));
    }
    return { packs: audit.packs, ...found.totals(), damage };
  } finally {
    index?.close();
    found.close();
    await handles.close();
  }
}

/** A missing index is not damage: the next start makes one. */
function readIndex(path: string, databases: Databases): { index: BlockIndex | undefined; damage: DataDamage[] } {
  if (!databases.exists(path)) return { index: undefined, damage: [] };
  try {
    const index = new BlockIndex(path, databases);
    index.check();
    return { index, damage: [] };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { index: undefined, damage: [dataDamage("index", `the index cannot be read: ${describeError(error)}`)] };
  }
}

/** Damaged here, but intact in another pack. */
export function isSuperseded({ kind, cid }: DataDamage, found: BlockIndex): boolean {
  return kind === "block" && cid !== undefined && found.find(digestOf(cid))?.damaged === 0;
}
