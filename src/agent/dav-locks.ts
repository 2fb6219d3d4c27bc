/** The locks of WebDAV clients, kept in the state, so that they hold over a restart. */
import { join } from "node:path";
import { describeError, type Log } from "../base/log.ts";
import type { Lock, LockStore } from "../webdav/locks.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

export function createLockFile(stateDir: string, log: Log): LockStore {
  const path = join(stateDir, "webdav-locks.json");
  return {
    load() {
      const bytes = readStateFile(path);
      if (bytes === undefined) return [];
      try {
        return (JSON.parse(bytes.toString("utf8")) as { locks: readonly Lock[] }).locks;
      } catch (error) {
        // Locks only keep clients from surprising one another: without them nothing is lost.
        log.warn("the locks of WebDAV clients cannot be read and are dropped", { error: describeError(error) });
        return [];
      }
    },
    save: (locks) => writeStateFile(path, Buffer.from(JSON.stringify({ locks }))),
  };
}
