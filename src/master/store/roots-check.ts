/**
 * Looks, before a master serves, whether its table of roots is the newest there was: else collections would take what only newer roots
 * reach. The folder must be held.
 */
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import { allRoots, type RootRow, type RootTable } from "../../roots/root-store.ts";
import { ROOTS_HINT } from "../roots/root-alarm.ts";
import { BlockIndex, isUnreadable } from "./block-index.ts";
import { rootsPath } from "./data-folder.ts";
import { type KnownRoot, type KnownRoots, rolledBack } from "./known-roots.ts";
import { ownerFolder } from "./master-store.ts";
import { indexPath } from "./owner-packs.ts";

export interface RootsCheck {
  /** The data folder. */
  readonly dir: string;
  readonly roots: Pick<RootTable, "list">;
  readonly owners: readonly Wallet[];
  readonly databases?: Databases | undefined;
}

/** Before a table is made where there is none: throws `root_rolled_back` if there must have been one. */
export function checkRootTable(dir: string, owners: readonly Wallet[], databases: Databases = systemDatabases): void {
  // It is made, durably, before anybody can store a block.
  if (owners.length > 0 && !databases.exists(rootsPath(dir))) throw lostTable();
}

/**
 * Owners with roots that the table no longer knows, or only older ones. Throws `root_rolled_back` where it knows none at all though it
 * should.
 */
export async function checkRoots({ dir, roots, owners, databases }: RootsCheck): Promise<Map<Wallet, KnownRoot[]>> {
  const behind = new Map<Wallet, KnownRoot[]>();
  let isEmpty = true;
  for (const owner of owners) {
    // Whatever is wrong with one owner's index, others are served; and a collection asks it itself.
    const known = await withKnownRoots({ dir, owner, databases }, (table) => table.list()).catch(() => undefined);
    const rows = await readableRoots(roots, owner);
    if (rows?.length !== 0) isEmpty = false;
    const lost = rows === undefined ? [] : rolledBack(known ?? [], rows);
    if (lost.length > 0) behind.set(owner, lost);
  }
  if (isEmpty && behind.size > 0) throw lostTable();
  return behind;
}

/** A person decided that the table is right as it is. Throws SQLite's errors. */
export async function acceptRoots({ dir, roots, owners, databases }: RootsCheck): Promise<void> {
  for (const owner of owners) {
    const rows = await readableRoots(roots, owner);
    if (rows !== undefined) await withKnownRoots({ dir, owner, databases }, (table) => table.accept(rows));
  }
}

/** Undefined where one of them is damaged: nothing of that owner is collected then, and others are served. */
async function readableRoots(roots: RootsCheck["roots"], owner: Wallet): Promise<RootRow[] | undefined> {
  try {
    return await allRoots(roots, owner);
  } catch (error) {
    if (!hasCode(error, "store_corrupt")) throw error;
    return undefined;
  }
}

/** Undefined where there is no index, or none that can be read: it is made anew, and knows nothing. */
async function withKnownRoots<Result>(
  { dir, owner, databases = systemDatabases }: Pick<RootsCheck, "dir" | "databases"> & { readonly owner: Wallet },
  work: (table: KnownRoots) => Result,
): Promise<Result | undefined> {
  const path = indexPath(ownerFolder(dir, owner));
  if (!databases.exists(path)) return undefined;
  try {
    const index = new BlockIndex(path, databases);
    try {
      return work(index.roots);
    } finally {
      index.close();
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return undefined;
  }
}

function lostTable(): SynclineError {
  return new SynclineError(
    "root_rolled_back",
    "The table of roots is lost: there are owners with blocks, and it knows no bucket.",
    { hint: ROOTS_HINT },
  );
}
