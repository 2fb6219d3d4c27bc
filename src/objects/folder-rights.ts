/**
 * Makes what is created in a store's folder usable for everyone who shares the folder. Otherwise one process with a strict
 * umask, or one command run as root, could lock all others out of the bucket.
 */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Disk } from "./disk.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

const GROUP_WRITES = 0o020;
/** Rights of the folder's group. It need not write to files, which are replaced, never changed. */
const OF_FILES = 0o040;
const OF_FOLDERS = 0o070;

interface Shared {
  readonly uid: number;
  readonly gid: number;
  readonly hasGroup: boolean;
  /** The folder's real path, which only root needs. */
  readonly realPath: string | undefined;
}

/**
 * If the folder is group-writable, its group gets access to what is created there. What root creates is given to the folder's
 * owner, unless it lies elsewhere: the owner could have put a symlink in the way. Calls never reject, since some file systems
 * have no such rights.
 */
export class FolderRights {
  readonly #disk: Pick<Disk, "open" | "readlink" | "stat">;
  readonly #path: string;
  #shared: Promise<Shared | undefined> | undefined;

  /** `path`: the store's folder. */
  constructor(disk: Pick<Disk, "open" | "readlink" | "stat">, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** To a file that was just created. */
  giveToFile(made: FileHandle): Promise<void> {
    return this.#sharing((shared) => this.#give(made, shared, OF_FILES));
  }

  /** To a subfolder that was just created. */
  giveToFolder(path: string): Promise<void> {
    return this.#sharing(async (shared) => {
      await using made = await this.#disk.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      await this.#give(made, shared, OF_FOLDERS);
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

  /** Undefined if the folder is not shared. */
  async #look(): Promise<Shared | undefined> {
    if (process.platform === "win32") return undefined;
    const { mode, uid, gid } = await this.#disk.stat(this.#path);
    const hasGroup = (mode & GROUP_WRITES) !== 0;
    if (!hasGroup && (!isRoot() || uid === 0)) return undefined;
    if (!isRoot()) return { uid, gid, hasGroup, realPath: undefined };
    await using folder = await this.#disk.open(this.#path, O_RDONLY | O_DIRECTORY);
    const now = await folder.stat();
    return { uid: now.uid, gid: now.gid, hasGroup, realPath: await this.#realPath(folder) };
  }

  async #give(made: FileHandle, { realPath, ...shared }: Shared, rights: number): Promise<void> {
    if (realPath !== undefined && !(await this.#realPath(made)).startsWith(`${realPath}/`)) return;
    const { mode, uid, gid } = await made.stat();
    const owner = isRoot() ? shared.uid : uid;
    if (owner !== uid || shared.gid !== gid) await made.chown(owner, shared.gid);
    if (shared.hasGroup && (mode & rights) !== rights) await made.chmod((mode & 0o7777) | rights);
  }

  /** The real path of an open file or folder. Throws on systems other than Linux. */
  #realPath({ fd }: FileHandle): Promise<string> {
    return this.#disk.readlink(`/proc/self/fd/${fd}`);
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
