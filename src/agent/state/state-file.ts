/** Small files of a state, written atomically and durably. */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { orElse, unlessSync } from "../../base/unless.ts";

/** The file's bytes, or undefined if it does not exist. A file that cannot be read must not count as absent. */
export function readStateFile(path: string): Buffer | undefined {
  return unlessSync("ENOENT", () => readFileSync(path));
}

/** Replaces the file, mode 0600, through a temporary one. Does nothing if it has these bytes already. */
export function writeStateFile(path: string, bytes: Uint8Array): void {
  if (readStateFile(path)?.equals(bytes) === true) return;
  const temporary = `${path}.tmp`;
  unlessSync("ENOENT", () => unlinkSync(temporary));
  const file = openSync(temporary, "wx", 0o600);
  try {
    try {
      writeFileSync(file, bytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    orElse(undefined, () => unlinkSync(temporary));
    throw error;
  }
  syncFolder(dirname(path));
}

/** Overwrites the start of a file in place. This needs no disk space, but power loss may damage the file. */
export function overwriteStateFile(path: string, bytes: Uint8Array): void {
  const file = openSync(path, "r+");
  try {
    writeSync(file, bytes, 0, bytes.length, 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Durably: it is not there again after power loss. */
export function removeStateFile(path: string): void {
  unlinkSync(path);
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  // Windows cannot open folders, and journals its renames.
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
