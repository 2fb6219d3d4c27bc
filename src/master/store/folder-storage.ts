/** The embedded master's storage: one folder with SQLite databases and pack files, used by one process. */
import { closeAll } from "../../base/resources.ts";
import { storeError } from "../../objects/disk.ts";
import { systemDatabases } from "../../objects/databases.ts";
import { SqliteRootStore } from "../../roots/sqlite-root-store.ts";
import { collectOwner } from "../gc/collection.ts";
import { Revocations } from "../http/revocations.ts";
import type { MasterStorage } from "../storage.ts";
import { revocationsPath, rootsPath } from "./data-folder.ts";
import { type MasterStoreOptions, openMasterStore } from "./master-store.ts";
import { systemPackDisk } from "./pack-disk.ts";
import { acceptRoots as takeRoots, checkRoots, checkRootTable } from "./roots-check.ts";

export interface FolderStorageOptions extends MasterStoreOptions {
  /** Accepts the table of roots as it is, even where newer roots were known. */
  readonly acceptRoots?: boolean | undefined;
}

/** Throws `state_in_use`, `root_rolled_back`, `feature_unknown`, and the stores' errors; nothing is left open then. */
export async function openFolderStorage(options: FolderStorageOptions): Promise<MasterStorage> {
  const open: (Disposable | AsyncDisposable)[] = [];
  try {
    return { ...(await openParts(options, open)), [Symbol.asyncDispose]: () => closeAll(open) };
  } catch (error) {
    await closeAll(open);
    throw storeError(error, options.dir, "opening the data folder");
  }
}

async function openParts(options: FolderStorageOptions, open: (Disposable | AsyncDisposable)[]) {
  const { dir, clock, acceptRoots = false } = options;
  const { disk = systemPackDisk, databases = systemDatabases } = options;
  // Opened first and closed last, because it holds the folder's lock.
  const stores = await openMasterStore(options);
  open.push(stores);
  const owners = await stores.owners();
  if (!acceptRoots) checkRootTable(dir, owners, databases);
  const roots = new SqliteRootStore(rootsPath(dir), databases);
  open.push(roots);
  await disk.syncFolder(dir);
  if (acceptRoots) await takeRoots({ dir, roots, owners, databases });
  const behind = await checkRoots({ dir, roots, owners, databases });
  const revocations = new Revocations(revocationsPath(dir), Number(clock.nowNs() / 1_000_000_000n), databases);
  open.push(revocations);
  const rolledBack = new Map([...behind].map(([owner, known]) => [owner, known.map(({ bucket }) => bucket)]));
  const collect: MasterStorage["collect"] = (call, owner, dryRun) => collectOwner({ ...call, stores }, owner, dryRun);
  return { roots, revocations, stores, rolledBack, collect, others: undefined };
}
