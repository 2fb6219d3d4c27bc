/**
 * A lock held for a process's lifetime: an exclusive SQLite transaction that never ends. It works on every platform, and
 * the system releases it however the process dies, so locks cannot become stale. Node.js has no flock(2).
 */
import type Database from "better-sqlite3";
import { SynclineError } from "../base/errors.ts";
import { openSqlite, sqlite } from "./sqlite.ts";

/** Keeps databases reachable even if callers drop them: SQLite releases a lock when its database is garbage-collected. */
const locks = new Set<Database.Database>();

/** Takes the lock in this file, made if necessary. Throws `state_in_use` with the text in `says`, and `local_io_failed`. */
export function takeProcessLock(path: string, says: { readonly inUse: string; readonly hint: string }): Disposable {
  let lock: Database.Database | undefined;
  try {
    const held = (lock = openSqlite(path, { timeout: 0 }));
    // In a file, the journal of this transaction would need space, and an agent on a full disk could not start.
    held.pragma("journal_mode = MEMORY");
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
    if (cause instanceof sqlite().SqliteError && cause.code.startsWith("SQLITE_BUSY")) {
      throw new SynclineError("state_in_use", says.inUse, { hint: says.hint, cause });
    }
    throw new SynclineError("local_io_failed", `Cannot lock ${path}: ${String(cause)}`, {
      hint: "Check that its folder exists, has free space, and is writable for this user.",
      cause,
    });
  }
}
