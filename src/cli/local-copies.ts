/** What this machine still has of a bucket that lost something: the caches of its mounts, and the folders that are synced. */
import { existsSync } from "node:fs";
import { openBucket } from "../agent/open-bucket.ts";
import { cacheDirOf } from "../agent/state-dir.ts";
import { SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { DEFAULT_CACHE_BYTES } from "../base/limits.ts";
import { silentLog } from "../base/log.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { DiskBlockCache } from "../blocks/disk-block-cache.ts";
import { openRealDisk } from "../sync/disk/real-disk.ts";
import { blocksInFolder } from "../sync/scan/folder-blocks.ts";
import type { Call } from "./command.ts";
import { setModified } from "./file-times.ts";
import { accessOf, type MasterOption } from "./master-access.ts";
import { type MountState, mountStates } from "./running-agents.ts";
import type { Runtime } from "./runtime.ts";

/** The caches of all mounts of this bucket: any of them may still have what the bucket lost. */
export function openCaches(
  runtime: Runtime,
  state: string | undefined,
  address: string,
): BlockReader & AsyncDisposable {
  const caches = statesOf(runtime, state, address)
    .map(({ stateDir }) => cacheDirOf(stateDir))
    .filter((dir) => existsSync(dir))
    .map((dir) => new DiskBlockCache({ dir, bytes: DEFAULT_CACHE_BYTES, log: silentLog }));
  const getMany = async (cids: readonly Cid[]) => {
    const found = new Map<Cid, Uint8Array>();
    for (const cache of caches) for (const [cid, bytes] of await cache.held(cids)) found.set(cid, bytes);
    return found;
  };
  const dispose = async () => void (await Promise.all(caches.map((cache) => cache.close())));
  return { ...readerOf(getMany), [Symbol.asyncDispose]: dispose };
}

/** Some of what is looked for. */
export interface Copies extends BlockReader {
  readonly cids: readonly Cid[];
}

/**
 * Those of `lost` that synced folders of this bucket have, a portion at a time, since they are in memory: a folder's files are not kept
 * in a cache a second time. Reads the folders' files. Throws as opening the bucket does, and what listing a folder does.
 */
export async function* copiesInFolders(
  call: Call<MasterOption>,
  address: string,
  lost: readonly Cid[],
): AsyncGenerator<Copies> {
  const { options, runtime } = call;
  const { clock, random } = runtime;
  const folders = statesOf(runtime, options.state, address).filter(({ synced, mount }) => synced && existsSync(mount));
  if (lost.length === 0 || folders.length === 0) return;
  await using opened = await openBucket({ address, access: accessOf(call), clock, random, log: silentLog });
  const wanted = new Set(lost);
  for (const { mount } of folders) {
    const disk = await openRealDisk(mount, { allXattrs: false, setModified });
    try {
      await disk.open();
      for await (const blocks of blocksInFolder(disk, opened.bucket.contentConfig, wanted, PORTION_BYTES)) {
        for (const cid of blocks.keys()) wanted.delete(cid);
        yield { cids: [...blocks.keys()], ...readerOf(async (cids) => pick(blocks, cids)) };
      }
    } finally {
      disk.close();
    }
  }
}

const PORTION_BYTES = 64 * 1024 * 1024;

/** All that this machine mounts or syncs of this bucket. */
function statesOf(runtime: Runtime, state: string | undefined, address: string): MountState[] {
  const [bucket] = address.split("#");
  return mountStates(runtime, state).filter((each) => each.address.split("#")[0] === bucket);
}

function pick(blocks: ReadonlyMap<Cid, Uint8Array>, cids: readonly Cid[]): Map<Cid, Uint8Array> {
  const picked = new Map<Cid, Uint8Array>();
  for (const cid of cids) {
    const bytes = blocks.get(cid);
    if (bytes !== undefined) picked.set(cid, bytes);
  }
  return picked;
}

function readerOf(getMany: BlockReader["getMany"]): BlockReader {
  const get = async (cid: Cid) => {
    const bytes = (await getMany([cid])).get(cid);
    if (bytes !== undefined) return bytes;
    throw new SynclineError("block_not_found", `This machine holds no ${cid}.`);
  };
  return { get, getMany };
}
