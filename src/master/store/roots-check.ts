/**
 * Checks before a master serves that its table of roots is not an old one: otherwise collections would delete what only
 * newer roots reach. The caller must hold the folder.
 */
import { unless } from "../../base/unless.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { type Databases, systemDatabases } from "../../objects/databases.ts";
import { allRoots, type RootRow, type RootTable } from "../../roots/root-store.ts";
import { rootsHint } from "../roots/root-alarm.ts";
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

/** Call before a missing table is made: throws `root_rolled_back` if there must have been one. */
export function checkRootTable(dir: string, owners: readonly Wallet[], databases: Databases = systemDatabases): void {
  // The table is created durably before the first block is stored.
  if (owners.length > 0 && !databases.exists(rootsPath(dir))) throw lostTable();
}

/** Owners with roots that the table lacks or has older. Throws `root_rolled_back` if it has no roots although it should. */
export async function checkRoots({ dir, roots, owners, databases }: RootsCheck): Promise<Map<Wallet, KnownRoot[]>> {
  const behind = new Map<Wallet, KnownRoot[]>();
  let isEmpty = true;
  for (const owner of owners) {
    // A bad index of one owner must not stop the others; a collection checks it again.
    const known = await withKnownRoots({ dir, owner, databases }, (table) => table.list()).catch(() => undefined);
    const rows = await readableRoots(roots, owner);
    if (rows?.length !== 0) isEmpty = false;
    const lost = rows === undefined ? [] : rolledBack(known ?? [], rows);
    if (lost.length > 0) behind.set(owner, lost);
  }
  if (isEmpty && behind.size > 0) throw lostTable();
  return behind;
}

/** Accepts the table as it is, on a person's decision. Throws SQLite's errors. */
export async function acceptRoots({ dir, roots, owners, databases }: RootsCheck): Promise<void> {
  for (const owner of owners) {
    const rows = await readableRoots(roots, owner);
    if (rows !== undefined) await withKnownRoots({ dir, owner, databases }, (table) => table.accept(rows));
  }
}

/** Undefined if one of them is damaged: collection is off for that owner, and others are served. */
async function readableRoots(roots: RootsCheck["roots"], owner: Wallet): Promise<RootRow[] | undefined> {
  return unless("store_corrupt", () => allRoots(roots, owner));
}

/** Undefined if the index is missing or unreadable: it will be rebuilt, without known roots. */
async function withKnownRoots<Result>(
  { dir, owner, databases = systemDatabases }: Pick<RootsCheck, "dir" | "databases"> & { readonly owner: Wallet },
  work: (table: KnownRoots) => Result,
): Promise<Result | undefined> {
  const path = indexPath(ownerFolder(dir, owner));
  if (!databases.exists(path)) return undefined;
  return unless(isUnreadable, () => {
    const index = new BlockIndex(path, databases);
    try {
      return work(index.roots);
    } finally {
      index.close();
    }
  });
}

function lostTable(): SynclineError {
  return new SynclineError("root_rolled_back", "The table of roots is empty, but owners have blocks.", {
    hint: rootsHint(undefined),
  });
}
