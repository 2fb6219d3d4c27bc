/** Where a master keeps its data: in a folder, or with an arbiter and a store that other masters share. */
import { createHash } from "node:crypto";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { makeFolders } from "../../runtime/make-folders.ts";
import { xdgFolder } from "../../agent/state/state-dir.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Arbiter } from "../../arbiter/arbiter.ts";
import type { MasterStorage } from "../../master/storage.ts";
import { systemDatabases } from "../../objects/databases.ts";
import type { Call } from "../command.ts";
import type { Runtime } from "../runtime.ts";

type StorageCall = Call<"data" | "arbiter" | "store" | "lease" | "acceptRoots">;

/** Throws `usage`, and what opening either throws. */
export async function openMasterStorage({ options, runtime }: StorageCall, log: Log): Promise<MasterStorage> {
  const { data, arbiter, store, lease, acceptRoots } = options;
  const { clock, random } = runtime;
  const leaseSeconds = lease === undefined ? undefined : Math.ceil(lease / 1000);
  const common = { clock, random, log, leaseSeconds, acceptRoots: acceptRoots === true };
  if (arbiter === undefined && store === undefined) {
    const { openFolderStorage } = await import("../../master/store/folder-storage.ts");
    return openFolderStorage({ ...common, dir: dataOf(data) });
  }
  if (arbiter === undefined || store === undefined) {
    throw new SynclineError("usage", "--arbiter and --store belong together: give both, or only --data DIR.");
  }
  const [{ openSharedStorage }, { openMasterObjects }] = await Promise.all([
    import("../../master/shared/shared-storage.ts"),
    import("../../master/shared/open-objects.ts"),
  ]);
  const cacheDir = cacheFolder(runtime, data, `${arbiter} ${store}`);
  lockArbiter(arbiter);
  const objects = await openMasterObjects(store, { clock, random });
  let opened: Arbiter;
  try {
    opened = await openArbiter(arbiter, runtime, log);
  } catch (error) {
    await objects[Symbol.asyncDispose]();
    throw error;
  }
  return openSharedStorage({ ...common, arbiter: opened, objects, cacheDir, databases: systemDatabases });
}

/**
 * A second master on one SQLite file would delete what the first one promised to keep: they know nothing of each other. The
 * lock ends with the process. Throws `state_in_use`.
 */
function lockArbiter(address: string): void {
  const path = sqlitePath(address);
  if (path === undefined) return;
  systemDatabases.lock(`${existsSync(path) ? realpathSync(path) : path}.lock`, {
    inUse: `Another master uses ${address}.`,
    hint: "Stop it first, or let several masters share PostgreSQL: --arbiter postgres://…",
  });
}

function sqlitePath(address: string): string | undefined {
  return /^sqlite:(?:\/\/)?(.+)$/.exec(address)?.[1];
}

/** Throws `bad_address`, `arbiter_unreachable`, `precondition_failed`. */
export async function openArbiter(
  address: string,
  { clock }: Runtime,
  log: Log,
  { create } = { create: true },
): Promise<Arbiter> {
  if (/^postgres(ql)?:\/\//.test(address)) {
    const { openPostgres } = await import("../../arbiter/postgres/postgres-arbiter.ts");
    return openPostgres(address, clock, log);
  }
  const path = sqlitePath(address);
  if (path !== undefined) {
    if (!create && !systemDatabases.exists(path)) {
      throw new SynclineError("no_such_path", `There is no arbiter at ${address}.`);
    }
    const { SqliteArbiter } = await import("../../arbiter/sqlite-arbiter.ts");
    return new SqliteArbiter(path, clock);
  }
  throw new SynclineError("bad_address", "--arbiter is neither a postgres:// URL nor sqlite:PATH.", {
    hint: "It looks like postgres://user@host:5432/database, or sqlite:/srv/master/arbiter.db for a single master.",
  });
}

function dataOf(data: string | undefined): string {
  if (data !== undefined) return data;
  throw new SynclineError(
    "usage",
    "Say where the master keeps its data: --data DIR, or --arbiter URL with --store URL.",
  );
}

/** A folder that no other process uses. */
function cacheFolder(runtime: Runtime, data: string | undefined, storage: string): string {
  const says = (dir: string) => ({
    inUse: `${dir} is used by another master.`,
    hint: "Give each master on a machine a folder of its own: --data DIR.",
  });
  const take = (dir: string) => {
    makeFolders(dir, 0o700);
    systemDatabases.lock(join(dir, "lock"), says(dir));
    return dir;
  };
  if (data !== undefined) return take(data);
  const id = createHash("sha256").update(storage).digest("hex").slice(0, 16);
  const home = xdgFolder(runtime.env, "CACHE", ".cache");
  for (let slot = 1; ; slot++) {
    try {
      return take(join(home, "syncline", "masters", `${id}-${slot}`));
    } catch (error) {
      if (!hasCode(error, "state_in_use") || slot >= MAX_SLOTS) throw error;
    }
  }
}

const MAX_SLOTS = 64;
