/**
 * The rights of what is made in a store's folder. Whoever shares the folder must be able to use it, whatever the umask of the
 * process that makes it, and even if that is root's: otherwise one command could lock everybody else out of the bucket.
 */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { Disk } from "./disk.ts";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

const GROUP_WRITES = 0o020;
/** What the folder's group gets. Files are replaced, never changed. */
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
 * If a group may write to the folder, the group may use what is made there. What root makes gets the folder's owner, but
 * only inside the folder: its owner could have led root elsewhere by a link. Calls never reject: some file systems have no
 * such rights.
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

  /** To a file that was just made. */
  giveToFile(made: FileHandle): Promise<void> {
    return this.#sharing((shared) => this.#give(made, shared, OF_FILES));
  }

  /** To a subfolder that was just made. */
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

  /** Undefined for a folder that is this user's alone. */
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

  /** Where an open file is, whatever leads there. Throws on systems that do not tell. */
  #realPath({ fd }: FileHandle): Promise<string> {
    return this.#disk.readlink(`/proc/self/fd/${fd}`);
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
