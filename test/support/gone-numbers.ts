/** A mount of a harness: what it does in the background about numbers of objects that are gone. */
import type { Cid, Ino } from "../../src/base/ids.ts";
import { GONE_INODES_WAIT_MS } from "../../src/base/limits.ts";
import { GoneInodes } from "../../src/vfs/gone-inodes.ts";
import type { VfsHarness } from "./vfs-harness.ts";

export interface MountedHarness {
  /** Whether the kernel has the number in use. A new mount's kernel knows none. */
  readonly isKnown?: (ino: Ino) => boolean;
  /** Whether this machine has a block. */
  readonly isHere?: (cid: Cid) => boolean;
  /** Called each time that blocks are read. */
  readonly between?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/** Removes the numbers of objects that are gone. */
export async function removeGone(fs: VfsHarness, mounted: MountedHarness = {}): Promise<void> {
  await goneOf(fs, mounted)();
}

/** A mount that stays: each call is one of its rounds. */
export function goneOf(
  fs: VfsHarness,
  { isKnown = () => false, isHere = () => true, between, signal = new AbortController().signal }: MountedHarness = {},
): () => Promise<void> {
  const held = async (cids: readonly Cid[]) => {
    await between?.();
    const here = cids.flatMap((cid) => {
      const bytes = isHere(cid) ? fs.blocks.held.get(cid) : undefined;
      return bytes === undefined ? [] : [[cid, bytes] as const];
    });
    return new Map(here);
  };
  const { clock, objects } = fs;
  const gone = new GoneInodes({ objects, held, clock, signal });
  return async () => {
    fs.vfs.watchOrphans((ino) => {
      if (!isKnown(ino)) fs.vfs.forget(ino);
    });
    await toItsEnd(fs, gone.remove());
    await toItsEnd(fs, gone.remove());
    fs.vfs.watchOrphans(() => {});
  };
}

async function toItsEnd(fs: VfsHarness, work: Promise<unknown>): Promise<void> {
  const progress = { isDone: false };
  const settled = work.catch(() => {}).finally(() => (progress.isDone = true));
  while (!progress.isDone) await fs.advance(GONE_INODES_WAIT_MS);
  await settled;
}
