/** Local copies of what a bucket lost: in the caches of its mounts, and in synced folders. */
import { existsSync } from "node:fs";
import { cacheDirOf, pinnedDirOf } from "../../agent/state/state-dir.ts";
import { parseAddress } from "../../bucket/address.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { DEFAULT_CACHE_BYTES } from "../../base/limits.ts";
import { describeError, silentLog } from "../../base/log.ts";
import { shellWord } from "../../base/names.ts";
import type { Block, BlockReader } from "../../blocks/block-store.ts";
import { DiskBlockCache } from "../../blocks/disk-block-cache.ts";
import { PinnedBlocks } from "../../blocks/pinned-blocks.ts";
import { openRealDisk } from "../../sync/disk/real-disk.ts";
import { findBlocksInFolder } from "../../sync/scan/folder-blocks.ts";
import { BlockSpool } from "./block-spool.ts";
import { printText } from "../terminal/text.ts";
import type { Call } from "../command.ts";
import { setModified } from "./file-times.ts";
import { openToRead } from "./bucket-reader.ts";
import type { BucketOption } from "../master-access.ts";
import { type KnownMount, mountStates, servedStates } from "./running-agents.ts";
import type { Runtime } from "../runtime.ts";

/** The caches and pinned blocks of all mounts of this bucket: any may still have what the bucket lost. */
export function openCaches(
  runtime: Runtime,
  state: string | undefined,
  address: string,
): BlockReader & AsyncDisposable {
  const states = statesOf(runtime, state, address);
  const pinned = states.map(({ path }) => new PinnedBlocks(pinnedDirOf(path), silentLog));
  const caches = states
    .map(({ path }) => cacheDirOf(path))
    .filter((dir) => existsSync(dir))
    .map((dir) => new DiskBlockCache({ dir, bytes: DEFAULT_CACHE_BYTES, log: silentLog }));
  const getMany = async (cids: readonly Cid[]) => {
    const found = new Map<Cid, Uint8Array>();
    for (const cache of [...caches, ...pinned])
      for (const [cid, bytes] of await cache.held(cids)) found.set(cid, bytes);
    return found;
  };
  const dispose = async () => void (await Promise.all(caches.map((cache) => cache.close())));
  return { ...readerOf(getMany), [Symbol.asyncDispose]: dispose };
}

/** Some of the wanted blocks. */
export interface Copies extends BlockReader, AsyncDisposable {
  readonly cids: readonly Cid[];
  /** False: there was no room for more. */
  readonly isAll: boolean;
}

/**
 * Finds blocks of `lost` in this bucket's synced folders, whose files no cache holds a second time. Reads the folders'
 * files, and keeps what it finds on the disk until disposed. Throws as opening the bucket does.
 */
export async function copiesInFolders(
  call: Call<BucketOption>,
  address: string,
  lost: readonly Cid[],
): Promise<Copies | undefined> {
  const { options, output, runtime } = call;
  const folders = statesOf(runtime, options.state, address).filter(({ synced, mount }) => synced && existsSync(mount));
  const [first] = folders;
  if (lost.length === 0 || first === undefined) return undefined;
  await using opened = await openToRead(call, address);
  const noRoom = (error: unknown) => {
    const room = printText(first.path);
    output.notice(`Could not store the folders' blocks in ${room}: ${describeError(error)}.`);
  };
  const spool = await BlockSpool.open(first.path).catch(noRoom);
  if (spool === undefined) return undefined;
  using progress = output.progress("read folders");
  const full = new AbortController();
  const wanted = new Set(lost);
  const keep = async (block: Block) => {
    try {
      await spool.put(block);
      wanted.delete(block.cid);
    } catch (error) {
      noRoom(error);
      full.abort();
    }
  };
  let bytes = 0;
  const read = (more: number) => progress.update({ bytes: (bytes += more) });
  for (const { mount } of folders) {
    if (wanted.size === 0 || full.signal.aborted) break;
    const disk = await openRealDisk(mount, { allXattrs: false, setModified, unlocks: false });
    try {
      await disk.open();
      await findBlocksInFolder(disk, opened.bucket.contentConfig, wanted, { keep, read, signal: full.signal });
    } catch (error) {
      output.notice(`Cannot search ${printText(mount)}: ${describeError(error)}`);
    } finally {
      disk.close();
    }
  }
  return {
    cids: spool.cids,
    isAll: !full.signal.aborted,
    ...readerOf((cids) => spool.getMany(cids)),
    [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose](),
  };
}

/**
 * Warns of local agents on a bucket without a master: they keep the manifest that they read, so their next commit would undo
 * repairs.
 */
export async function tellOfAgents(call: Call<BucketOption>, address: string): Promise<void> {
  if (!parseAddress(address).isPacked) return;
  const { options, output, runtime } = call;
  for (const { mount } of await servedStates(runtime, statesOf(runtime, options.state, address))) {
    const again = `Stop it (syncline unmount ${shellWord(mount)}) and repair again.`;
    output.notice(`An agent serves ${printText(mount)} and may undo this with its next commit. ${again}`);
  }
}

/** All mounts and synced folders of this bucket on this machine. */
function statesOf(runtime: Runtime, state: string | undefined, address: string): KnownMount[] {
  const [bucket] = address.split("#");
  return mountStates(runtime, state).filter((each) => each.address.split("#")[0] === bucket);
}

function readerOf(getMany: BlockReader["getMany"]): BlockReader {
  const get = async (cid: Cid) => {
    const bytes = (await getMany([cid])).get(cid);
    if (bytes !== undefined) return bytes;
    throw new SynclineError("block_not_found", `This machine has no copy of block ${cid}.`);
  };
  return { get, getMany };
}
