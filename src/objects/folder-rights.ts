/**
 * The rights of what is made in a store's folder. Whoever shares the folder must be able to use it, whatever the umask of the
 * process that makes it, and even if that is root's: otherwise one command could lock everybody else out of the bucket.
 */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Disk } from "./disk.ts";

/** Root must not be led elsewhere by a link. */
const FOLDER_ITSELF = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY;

const GROUP_WRITES = 0o020;
/** What the folder's group gets. Files are replaced, never changed. */
const OF_FILES = 0o040;
const OF_FOLDERS = 0o070;

interface Shared {
  readonly uid: number;
  readonly gid: number;
  readonly hasGroup: boolean;
}

/**
 * If a group may write to the folder, the group may use what is made there. What root makes gets the folder's owner. Calls
 * never reject: some file systems have no such rights.
 */
export class FolderRights {
  readonly #disk: Pick<Disk, "open" | "stat">;
  readonly #path: string;
  #shared: Promise<Shared | undefined> | undefined;

  /** `path`: the store's folder. */
  constructor(disk: Pick<Disk, "open" | "stat">, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** To a file that was just made. */
  giveToFile(made: FileHandle): Promise<void> {
    return this.#sharing((shared) => give(made, shared, OF_FILES));
  }

  /** To a subfolder that was just made. */
  giveToFolder(path: string): Promise<void> {
    return this.#sharing(async (shared) => {
      await using made = await this.#disk.open(path, FOLDER_ITSELF);
      await give(made, shared, OF_FOLDERS);
    });
  }

  async #sharing(work: (shared: Shared) => Promise<void>): Promise<void> {
    try {
      const shared = await (this.#shared ??= this.#look());
      if (shared !== undefined) await work(shared);
    } catch {
      this.#shared = undefined;
    }
  }

  /** Undefined for a folder that is this user's alone. */
  async #look(): Promise<Shared | undefined> {
    if (process.platform === "win32") return undefined;
    const { mode, uid, gid } = await this.#disk.stat(this.#path);
    const hasGroup = (mode & GROUP_WRITES) !== 0;
    return hasGroup || (isRoot() && uid !== 0) ? { uid, gid, hasGroup } : undefined;
  }
}

async function give(made: FileHandle, shared: Shared, rights: number): Promise<void> {
  const { mode, uid, gid } = await made.stat();
  const owner = isRoot() ? shared.uid : uid;
  if (owner !== uid || shared.gid !== gid) await made.chown(owner, shared.gid);
  if (shared.hasGroup && (mode & rights) !== rights) await made.chmod((mode & 0o7777) | rights);
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
