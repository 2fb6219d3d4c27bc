/** Where the bytes of a new file come from: random access, since chunks are cut only when the epoch is built. */
import { mkdtemp, open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { SPOOL_MEMORY_BYTES } from "../../base/limits.ts";
import { readUpTo, writeParts } from "../../objects/disk.ts";

export interface FileSource extends AsyncDisposable {
  readonly size: number;
  /** Exactly these bytes. Throws `precondition_failed` when they are not there any more. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export function sourceOfBytes(bytes: Uint8Array): FileSource {
  return {
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** A local file, opened when it is first read. `size` is what it had when it was looked at. Its path need not be UTF-8. */
export function sourceOfFile(path: string | Buffer, size: number): FileSource {
  let handle: Promise<FileHandle> | undefined;
  return {
    size,
    read: async (offset, length) => {
      handle ??= open(path, "r");
      const bytes = await readFully(await handle, path, offset, length);
      // Most files are read in one go; thousands of them must not stay open.
      if (offset + length === size) await close();
      return bytes;
    },
    [Symbol.asyncDispose]: () => close(),
  };

  async function close(): Promise<void> {
    const opened = handle;
    handle = undefined;
    // One that could not be opened has failed its reader already.
    await (await opened?.catch(() => undefined))?.close();
  }
}

/** A stream of any length: in memory while it is short, else in a temporary file in `folder`. */
export async function sourceOfStream(stream: AsyncIterable<Uint8Array>, folder: string): Promise<FileSource> {
  const parts: Uint8Array[] = [];
  let size = 0;
  let spooled = 0;
  let spool: { handle: FileHandle; path: string; folder: string } | undefined;
  for await (const part of stream) {
    size += part.length;
    parts.push(part);
    if (size <= SPOOL_MEMORY_BYTES) continue;
    spool ??= await openSpool(folder);
    await writeParts(spool.handle, spooled, parts.splice(0));
    spooled = size;
  }
  if (spool === undefined) return sourceOfBytes(Buffer.concat(parts));
  await spool.handle.close();
  const source = sourceOfFile(spool.path, size);
  const dispose = async () => {
    await source[Symbol.asyncDispose]();
    await rm(spool.folder, { recursive: true, force: true });
  };
  return { ...source, [Symbol.asyncDispose]: dispose };
}

async function openSpool(parent: string): Promise<{ handle: FileHandle; path: string; folder: string }> {
  const folder = await mkdtemp(join(parent, "syncline-spool-"));
  const path = join(folder, "stream");
  return { handle: await open(path, "wx", 0o600), path, folder };
}

async function readFully(
  handle: FileHandle,
  path: string | Buffer,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await readUpTo(handle, offset, length);
  if (bytes.length === length) return bytes;
  throw new SynclineError("precondition_failed", `${path.toString()} became shorter while it was read.`, {
    hint: "Put it again once nobody writes to it.",
  });
}
