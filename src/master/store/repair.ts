/**
 * Repairs what can be repaired without the lost bytes: pack footers are rebuilt from the index, a wrong index is rebuilt
 * from the packs, and damaged blocks are marked, so that clients that have them are asked to send them again.
 */
import { groupBy } from "../../base/collections.ts";
import type { Wallet } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import { type BlockIndex, openIndex } from "./block-index.ts";
import type { DataDamage } from "./damage.ts";
import { ownerFolder } from "./master-store.ts";
import { Leases } from "./leases.ts";
import { indexPath, packsFolder } from "./owner-packs.ts";
import type { PackDisk } from "./pack-disk.ts";
import { PackHandles } from "./pack-handles.ts";
import { listPacks, openPath, sealedPath } from "./pack-path.ts";
import { recover } from "./recovery.ts";

export interface RepairOptions extends Pick<Ports, "clock" | "log"> {
  readonly dir: string;
  readonly disk: PackDisk;
  readonly databases?: Databases | undefined;
}

export interface DataRepair {
  readonly owner: Wallet;
  readonly pack: string | undefined;
  /** A sentence for people. */
  readonly what: string;
}

/** Throws the system's errors, `disk_full`. The caller must hold the folder. */
export async function repairData(options: RepairOptions, damage: readonly DataDamage[]): Promise<DataRepair[]> {
  const repairs: DataRepair[] = [];
  for (const [owner, items] of groupBy(damage, (item) => item.owner)) {
    if (owner !== undefined) repairs.push(...(await repairOwner(options, owner, items)));
  }
  return repairs;
}

async function repairOwner(
  options: RepairOptions,
  owner: Wallet,
  damage: readonly DataDamage[],
): Promise<DataRepair[]> {
  const { disk, databases = systemDatabases } = options;
  const dir = ownerFolder(options.dir, owner);
  const repairs: DataRepair[] = [];
  const note = (what: string, pack?: string) => void repairs.push({ owner, pack, what });
  for (const { kind, pack } of damage) {
    if (kind !== "footer" || pack === undefined || !(await reopenPack(disk, databases, dir, pack))) continue;
    note("its footer was rebuilt from the index", pack);
  }
  for (const { kind, pack } of damage)
    if (kind === "pack") note("it was dropped from the index; its blocks are missing", pack);
  // First with the index as it is: only the index knows what packs without a footer hold.
  await open(options, dir, []);
  const known = withIndex(databases, dir, (index) => index.roots.list());
  if (damage.some(({ kind }) => kind === "index")) {
    databases.remove(indexPath(dir));
    withIndex(databases, dir, (index) => index.roots.restore(known));
    note("the index was rebuilt from the packs");
  }
  const blocks = damage.filter(({ kind }) => kind === "block");
  await open(options, dir, blocks);
  if (blocks.length > 0) note(`${blocks.length} damaged blocks are marked as missing until they are uploaded again`);
  return repairs;
}

/** Makes recovery treat a pack without a footer as unfinished, if the index knows it. */
async function reopenPack(disk: PackDisk, databases: Databases, dir: string, pack: string): Promise<boolean> {
  const folder = packsFolder(dir);
  if (!withIndex(databases, dir, (index) => index.packs().some(({ name }) => name === pack))) return false;
  const { sealed } = await listPacks(disk, folder);
  if (sealed.has(pack)) await disk.rename(sealedPath(folder, pack), openPath(folder, pack));
  return true;
}

function withIndex<Result>(databases: Databases, dir: string, work: (index: BlockIndex) => Result): Result {
  const index = openIndex(indexPath(dir), databases);
  try {
    return work(index);
  } finally {
    index.close();
  }
}

async function open(
  { disk, databases, clock, log }: RepairOptions,
  dir: string,
  damaged: readonly DataDamage[],
): Promise<void> {
  const folder = packsFolder(dir);
  const handles = new PackHandles(disk);
  const index = openIndex(indexPath(dir), databases);
  try {
    const options = {
      disk,
      folder,
      index,
      handles,
      log,
      leased: new Leases(clock).now(),
      packBytes: PACK_TARGET_BYTES,
      givesUp: true,
    };
    await (await recover(options)).current?.close();
    for (const { cid, pack, offset } of damaged) {
      if (cid === undefined || pack === undefined || offset === undefined) continue;
      index.markDamaged(digestOf(cid), { pack, offset, length: 0 });
    }
  } finally {
    index.close();
    await handles.close();
  }
}
