/** Locks of WebDAV clients over a restart: a small file in the agent's state folder. */
import type { FileName } from "../base/ids.ts";
import type { Lock, LockStore } from "../webdav/locks.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

/** A file that is not what was written counts as none: clients lock again. Its folder must be there. */
export function fileLockStore(path: string): LockStore {
  return {
    load: () => parse(readStateFile(path)),
    save: (locks) => writeStateFile(path, Buffer.from(JSON.stringify({ version: VERSION, locks }))),
  };
}

const VERSION = 1;

function parse(bytes: Buffer | undefined): Lock[] {
  try {
    const { version, locks } = JSON.parse(bytes?.toString() ?? "{}") as { version?: unknown; locks?: unknown };
    return version === VERSION && Array.isArray(locks) ? locks.filter(isLock) : [];
  } catch {
    return [];
  }
}

function isLock(value: unknown): value is Lock {
  if (typeof value !== "object" || value === null) return false;
  const { token, path, isDeep, isExclusive, owner, timeoutS, expiresMs } = value as Partial<
    Record<keyof Lock, unknown>
  >;
  return (
    [token, owner].every((text) => typeof text === "string") &&
    [isDeep, isExclusive].every((flag) => typeof flag === "boolean") &&
    [timeoutS, expiresMs].every((number) => Number.isFinite(number)) &&
    Array.isArray(path) &&
    path.every((name): name is FileName => typeof name === "string")
  );
}
