/**
 * Files that are not as long as their filesystem says: /proc and some FUSE filesystems say 0, /sys says a page. Such a file
 * is read to its end when it is opened, as a stream is, and has the size that was read.
 */
import { failedWith } from "../../base/system-errors.ts";
import { unless } from "../../base/unless.ts";
import { type FileSource, sourceOfStream } from "../../bucket/writer/file-source.ts";
import { type DiskFile, type DiskPath, type DiskStat, NOT_THERE, type SyncDisk } from "../../sync/disk/disk.ts";
import { pathText } from "../../sync/disk/paths.ts";

/** Makes the disk tell true sizes, once a file is opened or looked at. `spoolPath`: a new temporary file for one that is long. */
export function withTrueSizes<Disk extends Pick<SyncDisk, "read" | "look">>(disk: Disk, spoolPath: () => string): Disk {
  const [read, look] = [disk.read.bind(disk), disk.look.bind(disk)];
  const misstated = new Set<string>();
  const readTrue = async (path: DiskPath): Promise<DiskFile> => {
    const file = await read(path);
    const name = pathText(path);
    return misstated.has(name) ? spooled(file, spoolPath()) : noticing(file, () => misstated.add(name));
  };
  return Object.assign(disk, {
    read: readTrue,
    look: async (path: DiskPath): Promise<DiskStat | undefined> => {
      const stat = await look(path);
      if (stat?.type !== "file" || stat.size > 0) return stat;
      // An empty file need not be readable, and may be gone by now.
      const isEmpty = await unless(mayNotOpen, async () => isEmptyFile(await read(path)), true);
      if (isEmpty) return stat;
      misstated.add(pathText(path));
      return statThenClose(await readTrue(path));
    },
  });
}

function mayNotOpen(error: unknown): boolean {
  return failedWith(error, "EACCES", "EPERM", ...NOT_THERE);
}

async function isEmptyFile(file: DiskFile): Promise<boolean> {
  try {
    return (await file.read(0, 1)).length === 0;
  } finally {
    await file.close();
  }
}

async function statThenClose(file: DiskFile): Promise<DiskStat> {
  try {
    return await file.stat();
  } finally {
    await file.close();
  }
}

/** Reports a file that ends early, although nothing changed it. */
function noticing(file: DiskFile, misstates: () => void): DiskFile {
  const [read, stat] = [file.read.bind(file), file.stat.bind(file)];
  let before: DiskStat | undefined;
  return Object.assign(file, {
    stat: async () => {
      const now = await stat();
      before ??= now;
      return now;
    },
    read: async (...part: Parameters<DiskFile["read"]>) => {
      const [offset, length] = part;
      const bytes = await read(...part);
      if (bytes.length === length || before === undefined) return bytes;
      const { size, mtimeNs } = await stat();
      if (size === before.size && mtimeNs === before.mtimeNs && offset + length <= size) misstates();
      return bytes;
    },
  });
}

async function spooled(file: DiskFile, path: string): Promise<DiskFile> {
  const [stat, close] = [file.stat.bind(file), file.close.bind(file)];
  let source: FileSource;
  try {
    source = await sourceOfStream(piecesOf(file.read.bind(file)), path);
  } catch (error) {
    await close();
    throw error;
  }
  return Object.assign(file, {
    zerosAt: undefined,
    stat: async () => ({ ...(await stat()), size: source.size }),
    read: async (...part: Parameters<DiskFile["read"]>) => {
      const bytes = await source.read(...part);
      return typeof bytes === "number" ? new Uint8Array(bytes) : bytes;
    },
    close: async () => {
      await source[Symbol.asyncDispose]();
      await close();
    },
  });
}

async function* piecesOf(read: DiskFile["read"]): AsyncGenerator<Uint8Array> {
  for (let at = 0; ;) {
    const bytes = await read(at, PIECE_BYTES);
    if (bytes.length === 0) return;
    yield bytes;
    at += bytes.length;
  }
}

const PIECE_BYTES = 1 << 18;
