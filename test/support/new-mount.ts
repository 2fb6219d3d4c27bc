/** A new mount of a harness: its background work, run to its end. */
import type { Cid } from "../../src/base/ids.ts";
import { GONE_INODES_FIRST_MS } from "../../src/base/limits.ts";
import { silentLog } from "../../src/base/log.ts";
import { removeGoneInodes } from "../../src/vfs/gone-inodes.ts";
import type { VfsHarness } from "./vfs-harness.ts";

export interface NewMount {
  readonly takesOver?: boolean;
  /** Whether this machine has a block. */
  readonly isHere?: (cid: Cid) => boolean;
  /** Called each time that blocks are read. */
  readonly between?: () => Promise<void>;
  readonly signal?: AbortSignal;
}

/** Removes the numbers of objects that are gone. */
export async function asNewMount(
  fs: VfsHarness,
  { takesOver = false, isHere = () => true, between, signal = new AbortController().signal }: NewMount = {},
): Promise<void> {
  const held = async (cids: readonly Cid[]) => {
    await between?.();
    const here = cids.flatMap((cid) => {
      const bytes = isHere(cid) ? fs.blocks.held.get(cid) : undefined;
      return bytes === undefined ? [] : [[cid, bytes] as const];
    });
    return new Map(here);
  };
  const { clock } = fs;
  const progress = { isDone: false };
  const work = removeGoneInodes({ overlay: fs.objects.overlay, takesOver, held, clock, log: silentLog, signal });
  void work.finally(() => (progress.isDone = true));
  while (!progress.isDone) await fs.advance(GONE_INODES_FIRST_MS);
}
