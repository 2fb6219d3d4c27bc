/**
 * A lock that one process holds for as long as it lives: an exclusive SQLite transaction that is never ended. It works on every
 * platform, and the system releases it however the process dies, so that there are no stale ones.
 */
import Database from "better-sqlite3";
import { SynclineError } from "../base/errors.ts";

/** Held whoever forgets what was returned: SQLite gives a lock back once its database is collected as garbage. */
const locks = new Set<Database.Database>();

/** Takes the lock in this file, which is made if need be. Throws `state_in_use` with what `says`, and `local_io_failed`. */
export function takeProcessLock(path: string, says: { readonly inUse: string; readonly hint: string }): Disposable {
  let lock: Database.Database | undefined;
  try {
    const held = (lock = new Database(path, { timeout: 0 }));
    held.pragma("journal_mode = DELETE");
    held.exec("BEGIN EXCLUSIVE");
    locks.add(held);
    return {
      [Symbol.dispose]: () => {
        locks.delete(held);
        held.close();
      },
    };
  } catch (cause) {
    lock?.close();
    if (cause instanceof Database.SqliteError && cause.code.startsWith("SQLITE_BUSY")) {
      throw new SynclineError("state_in_use", says.inUse, { hint: says.hint, cause });
    }
    throw new SynclineError("local_io_failed", `${path} cannot be locked: ${String(cause)}`, {
      hint: "Check that its folder is there, has room, and that this user may write in it.",
      cause,
    });
  }
}
