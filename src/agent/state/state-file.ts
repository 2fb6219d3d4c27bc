/** Small files of a state: written whole or not at all, and there after power loss. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { failedWith } from "../../base/system-errors.ts";

/** The file's bytes, or undefined when there is none. One that is there and cannot be read must not be taken for absent. */
export function readStateFile(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Replaces the file, mode 0600, by way of a temporary one; does nothing when it holds these bytes already. */
export function writeStateFile(path: string, bytes: Uint8Array): void {
  if (readStateFile(path)?.equals(bytes) === true) return;
  const temporary = `${path}.tmp`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, "wx", 0o600);
  try {
    writeFileSync(file, bytes);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  // Windows opens no folders, and journals its renames.
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
