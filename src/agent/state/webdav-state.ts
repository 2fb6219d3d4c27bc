/** What the WebDAV door keeps across restarts: small files in the agent's state folder, which must exist. */
import type { FileName } from "../../base/ids.ts";
import { orElse } from "../../base/unless.ts";
import type { Lock, LockStore } from "../../webdav/locks/locks.ts";
import type { Unfinished, UnfinishedStore } from "../../files/unfinished.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";

/** A damaged file counts as absent: clients lock again. */
export function fileLockStore(path: string): LockStore {
  return fileListStore(path, "locks", isLock);
}

/** If the file is damaged, unfinished files keep their temporary names. */
export function fileUnfinishedStore(path: string): UnfinishedStore {
  return fileListStore(path, "unfinished", isUnfinished);
}

const VERSION = 1;

function fileListStore<Item>(path: string, key: string, isItem: (value: unknown) => value is Item) {
  return {
    load: () => parse(readStateFile(path), key).filter((value) => isItem(value)),
    save: (items: readonly Item[]) =>
      writeStateFile(path, Buffer.from(JSON.stringify({ version: VERSION, [key]: items }))),
  };
}

function parse(bytes: Buffer | undefined, key: string): unknown[] {
  return orElse([], () => {
    const { version, [key]: items } = JSON.parse(bytes?.toString() ?? "{}") as Record<string, unknown>;
    return version === VERSION && Array.isArray(items) ? items : [];
  });
}

function isLock(value: unknown): value is Lock {
  if (typeof value !== "object" || value === null) return false;
  const { token, path, isFolder, isDeep, isExclusive, owner, user, timeoutS, expiresMs } = value as Partial<
    Record<keyof Lock, unknown>
  >;
  return (
    [token, owner].every((text) => typeof text === "string") &&
    [isDeep, isExclusive].every((flag) => typeof flag === "boolean") &&
    [timeoutS, expiresMs].every((number) => Number.isFinite(number)) &&
    (isFolder === undefined || typeof isFolder === "boolean") &&
    (user === undefined || typeof user === "string") &&
    isPath(path)
  );
}

function isUnfinished(value: unknown): value is Unfinished {
  if (typeof value !== "object" || value === null) return false;
  const { path, was } = value as Partial<Record<keyof Unfinished, unknown>>;
  return isPath(path) && (was === undefined || typeof was === "string");
}

function isPath(value: unknown): value is FileName[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}
