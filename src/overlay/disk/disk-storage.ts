/** The overlay's storage in a state folder on a local disk: `journal/`, `data/` and `overlay.db`. */
import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsync,
  fsyncSync,
  openSync,
  readSync,
  readdirSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeFolders } from "../../runtime/make-folders.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import { failedWith } from "../../base/system-errors.ts";
import { SqliteTables } from "./sqlite-tables.ts";
import { attempt, storageError } from "./storage-error.ts";
import { syncPath } from "./sync-path.ts";
import type { Folder, OverlayStorage, StateTables, StorageSpace, StoredFile } from "./storage.ts";

const { O_CREAT, O_RDWR } = constants;
const CREATE_FLAGS = O_RDWR | O_CREAT;
const fsyncAsync = promisify(fsync);
const fdatasyncAsync = promisify(fdatasync);
/** Concurrent removals in the thread pool: few, so that reads and syncs find a free thread. */
const REMOVERS = 2;
const TABLES = "overlay.db";

/** Whether a state folder holds an overlay. */
export function hasOverlay(stateDir: string): boolean {
  return existsSync(join(stateDir, TABLES));
}

/**
 * Removes the overlay from a state folder, with everything in it. No process may have it open. If the process dies
 * meanwhile, call it again before the overlay is opened.
 */
export function removeOverlay(stateDir: string): void {
  for (const name of [TABLES, `${TABLES}-wal`, `${TABLES}-shm`, "journal", "data"])
    attempt(() => rmSync(join(stateDir, name), { recursive: true, force: true }));
}

export class DiskStorage implements OverlayStorage {
  readonly #path: string;

  /** Creates missing folders. Throws `disk_full`, `store_failed`. */
  constructor(stateDir: string) {
    this.#path = stateDir;
    for (const folder of ["journal", "data"] as const) attempt(() => makeFolders(join(stateDir, folder), 0o700));
  }

  list(folder: Folder): string[] {
    return attempt(() => readdirSync(join(this.#path, folder)));
  }

  openFile(folder: Folder, name: string, create: boolean): StoredFile | undefined {
    try {
      return new DiskFile(openSync(join(this.#path, folder, name), create ? CREATE_FLAGS : O_RDWR, 0o600));
    } catch (error) {
      if (!create && failedWith(error, "ENOENT")) return undefined;
      throw storageError(error);
    }
  }

  removeFile(folder: Folder, name: string): void {
    attempt(() => unlinkSync(join(this.#path, folder, name)));
  }

  async removeFiles(folder: Folder, names: readonly string[]): Promise<void> {
    await mapConcurrent(names, REMOVERS, async (name) => {
      await unlink(join(this.#path, folder, name)).catch((error: unknown) => {
        if (!failedWith(error, "ENOENT")) throw storageError(error);
      });
    });
  }

  async syncFolder(folder: Folder): Promise<void> {
    await syncPath(join(this.#path, folder), fsyncAsync);
  }

  syncFolderNow(folder: Folder): void {
    // Windows cannot open folders, and journals its renames.
    if (process.platform === "win32") return;
    attempt(() => {
      const fd = openSync(join(this.#path, folder), "r");
      try {
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
    });
  }

  openTables(): StateTables {
    return attempt(() => new SqliteTables(join(this.#path, TABLES)));
  }

  space(): StorageSpace {
    const { bsize, blocks, bavail, files, ffree } = attempt(() => statfsSync(this.#path));
    return { blockSize: bsize, blocks, freeBlocks: bavail, files, freeFiles: ffree };
  }
}

class DiskFile implements StoredFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  size(): number {
    return attempt(() => fstatSync(this.#fd).size);
  }

  read(offset: number, target: Uint8Array): number {
    return attempt(() => {
      let done = 0;
      while (done < target.length) {
        const count = readSync(this.#fd, target, done, target.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    });
  }

  write(offset: number, bytes: Uint8Array): void {
    attempt(() => {
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    });
  }

  async sync(): Promise<void> {
    await fdatasyncAsync(this.#fd).catch((error: unknown) => {
      throw storageError(error);
    });
  }

  syncNow(): void {
    attempt(() => fdatasyncSync(this.#fd));
  }

  close(): void {
    closeSync(this.#fd);
  }
}
