/**
 * Removes the inode rows of objects that others removed. Each listing numbers all its entries, so without this the table would
 * keep everything that ever was in the bucket. Only a new mount may do this, while its kernel does not know these numbers.
 *
 * Works in the background, and only with tree nodes that are on this machine. Rows that these cannot decide stay.
 */
import type { Clock } from "../base/clock.ts";
import type { Cid, Ino } from "../base/ids.ts";
import {
  EPOCH_OBJECTS,
  GONE_INODES_FIRST_MS,
  GONE_INODES_PAUSE_MS,
  GONE_INODES_PORTION,
  TABLES_LOG_ROWS,
} from "../base/limits.ts";
import { describeError, type Log } from "../base/log.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { blockNotFound } from "../blocks/not-found.ts";
import { goneFrom } from "../fstree/gone-objects.ts";
import type { InodeRow } from "../overlay/disk/storage.ts";
import { neededInodes } from "../overlay/needed-inodes.ts";
import type { Overlay } from "../overlay/overlay.ts";
import { NodeStore } from "../tree/node-store.ts";

export interface GoneInodesOptions {
  readonly overlay: Overlay;
  /** Whether an agent before this one served the same mount: the kernel then goes on with its numbers. */
  readonly takesOver: boolean;
  /** The blocks among `cids` that are on this machine. */
  readonly held: (cids: readonly Cid[]) => Promise<ReadonlyMap<Cid, Uint8Array>>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Apart from the nodes that serve programs. */
const NODE_BYTES = 2 * 1024 * 1024;

/** Never rejects; ends soon after `signal`. */
export async function removeGoneInodes(options: GoneInodesOptions): Promise<void> {
  const { takesOver, clock, log, signal } = options;
  if (takesOver) return;
  // From now on, the kernel may know numbers from here up.
  const below = options.overlay.state.inodes.next;
  try {
    await clock.sleep(GONE_INODES_FIRST_MS, signal);
    const removed = await removeAll(options, below);
    if (removed > 0) log.info("Numbers of objects that others removed are forgotten.", { inodes: removed });
  } catch (error) {
    if (!signal.aborted) log.warn(`Cannot forget the numbers of removed objects: ${describeError(error)}`);
  }
}

async function removeAll({ overlay, held, clock, signal }: GoneInodesOptions, end: Ino): Promise<number> {
  const { state } = overlay;
  const nodes = new NodeStore(localReader(held), { capacityBytes: NODE_BYTES });
  const pause = () => clock.sleep(GONE_INODES_PAUSE_MS, signal);
  let [removed, logged] = [0, 0];
  // The tables then have all rows.
  await overlay.checkpoint();
  for (let below = end; ;) {
    await pause();
    const rows = state.inodes.rowsBelow(below, GONE_INODES_PORTION);
    const last = rows.at(-1);
    // With very many changes it would take long to find out which rows they need. A later mount goes on.
    if (last === undefined || state.count > EPOCH_OBJECTS) return removed;
    const count = await removePortion(overlay, nodes, rows, pause);
    removed += count;
    logged += count;
    // The tables write their log into the database, before that would take long.
    if (logged >= TABLES_LOG_ROWS) {
      await overlay.checkpoint();
      logged = 0;
    }
    below = last.ino;
  }
}

async function removePortion(
  overlay: Overlay,
  nodes: NodeStore,
  rows: readonly InodeRow[],
  pause: () => Promise<void>,
): Promise<number> {
  const { state } = overlay;
  for (;;) {
    const { tree } = state.base;
    const gone = await goneFrom(nodes, tree, rows, pause);
    if (gone.length === 0) return 0;
    // The base moved meanwhile, and may have got them back.
    if (state.base.tree !== tree) continue;
    const needed = neededInodes(state);
    const isUnused = ({ ino, id }: InodeRow) => !needed.has(ino) && state.inodes.row(ino)?.id === id;
    const unused: Ino[] = gone.filter(isUnused).map(({ ino }) => ino);
    overlay.removeInodes(unused);
    return unused.length;
  }
}

function localReader(held: GoneInodesOptions["held"]): BlockReader {
  const getMany = async (cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> => {
    const found = await held(cids);
    return new Map(
      cids.map((cid) => {
        const bytes = found.get(cid);
        if (bytes === undefined) throw blockNotFound(cid);
        return [cid, bytes];
      }),
    );
  };
  const get = async (cid: Cid) => (await getMany([cid])).get(cid) ?? new Uint8Array();
  return { get, getMany };
}
