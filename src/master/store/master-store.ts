/**
 * The embedded master's store of blocks in its data folder:
 *
 *     master.json          {"format":1}
 *     lock                 held by the one process that uses the folder
 *     roots.db, auth.db    the tables of roots and of revoked tokens, not used by this store
 *     owners/0x…/pack/     pack files; owners/0x…/index.db: where each block lies
 *
 * Owners are opened on demand; when too many are open, the least recently used idle ones are closed.
 */
import { join } from "node:path";
import type { Wallet } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Ports } from "../../base/ports.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import { lockDataFolder } from "./data-folder.ts";
import { OwnerHandle } from "./owner-handle.ts";
import { Leases } from "./leases.ts";
import type { BlockStores, CollectedBlocks } from "./owner-blocks.ts";
import { OpenOwners } from "./open-owners.ts";
import { type PackDisk, systemPackDisk } from "./pack-disk.ts";
import { PackHandles } from "./pack-handles.ts";
import { RecentNodes } from "./recent-nodes.ts";

export interface MasterStoreOptions extends Ports {
  /** The master's data folder; made if it is not there. */
  readonly dir: string;
  /** For tests. */
  readonly disk?: PackDisk | undefined;
  readonly databases?: Databases | undefined;
  readonly maxOpenOwners?: number;
  readonly packBytes?: number;
  /** How long blocks stay that no root reaches. */
  readonly leaseSeconds?: number | undefined;
}

/** Throws `state_in_use` while another process uses the folder, `feature_unknown` if a newer version made it. */
export async function openMasterStore(options: MasterStoreOptions): Promise<BlockStores<CollectedBlocks>> {
  const { dir, clock, random, log, disk = systemPackDisk, databases = systemDatabases } = options;
  const { packBytes = PACK_TARGET_BYTES } = options;
  const lock = await lockDataFolder(dir, disk, databases);
  const handles = new PackHandles(disk);
  const leases = new Leases(clock, options.leaseSeconds);
  const open = new OpenOwners(options.maxOpenOwners);
  const recent = new RecentNodes();
  const known = new Map<Wallet, OwnerHandle>();
  return {
    of(owner: Wallet): Promise<CollectedBlocks> {
      const handle =
        known.get(owner) ??
        new OwnerHandle({
          owner,
          recent,
          dir: ownerFolder(dir, owner),
          disk,
          databases,
          handles,
          clock,
          random,
          log,
          packBytes,
          leases,
          open,
        });
      known.set(owner, handle);
      return handle.ready();
    },
    leaseSeconds: leases.seconds,
    owners: () => listOwners(disk, dir),
    check: async () => void (await listOwners(disk, dir)),
    async [Symbol.asyncDispose]() {
      await Promise.all([...known.values()].map((handle) => handle.end()));
      await handles.close();
      lock[Symbol.dispose]();
    },
  };
}

export function ownersFolder(dir: string): string {
  return join(dir, "owners");
}

export function ownerFolder(dir: string, owner: Wallet): string {
  return join(ownersFolder(dir), owner);
}

export async function listOwners(disk: PackDisk, dir: string): Promise<Wallet[]> {
  const names = await disk.list(ownersFolder(dir));
  return names.filter((name): name is Wallet => /^0x[0-9a-f]{40}$/.test(name)).toSorted();
}
