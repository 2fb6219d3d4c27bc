/**
 * The system's disk with hooks around every call: for tests that make a call fail, or check what a power cut would leave.
 */
import { type Disk, systemDisk } from "../../src/objects/disk.ts";
import { systemError } from "../../src/simulate/disks/faulty-disk.ts";

export type DiskStep = "link" | "mkdir" | "open" | "rename" | "sync file" | "sync folder" | "unlink" | "write";

export interface WatchedDisk {
  readonly disk: Disk;
  /** Runs before each call, with its kind and path; what it throws, the call throws. */
  before: (step: DiskStep, path: string) => void;
  /** Names given to files, each with whether a power cut now would leave it with all its bytes. */
  named(): ReadonlyMap<string, boolean>;
}

export function watchedDisk(): WatchedDisk {
  const synced = new Set<string>();
  const names = new Map<string, { whole: boolean; durable: boolean }>();
  const watched: WatchedDisk = {
    before: () => {},
    named: () => new Map([...names].map(([path, { whole, durable }]) => [path, whole && durable])),
    disk: {
      ...systemDisk,
      link: async (from, to) => {
        watched.before("link", String(to));
        await systemDisk.link(from, to);
        names.set(String(to), { whole: synced.has(String(from)), durable: false });
      },
      rename: async (from, to) => {
        watched.before("rename", String(to));
        await systemDisk.rename(from, to);
        names.set(String(to), { whole: synced.has(String(from)), durable: false });
      },
      unlink: async (path) => {
        watched.before("unlink", String(path));
        await systemDisk.unlink(path);
        names.delete(String(path));
      },
      mkdir: (async (path: string, options?: { recursive: boolean }) => {
        watched.before("mkdir", path);
        return systemDisk.mkdir(path, options);
      }) as Disk["mkdir"],
      open: async (path, flags) => {
        watched.before("open", String(path));
        const file = await systemDisk.open(path, flags);
        const isFolder = (await file.stat()).isDirectory();
        const [sync, writeFile] = [file.sync.bind(file), file.writeFile.bind(file)];
        file.sync = async () => {
          watched.before(isFolder ? "sync folder" : "sync file", String(path));
          await sync();
          synced.add(String(path));
          for (const [name, state] of names) if (dirnameOf(name) === String(path)) state.durable = true;
        };
        file.writeFile = async (data, options) => {
          watched.before("write", String(path));
          await writeFile(data, options);
        };
        return file;
      },
    },
  };
  return watched;
}

export { systemError };

function dirnameOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
