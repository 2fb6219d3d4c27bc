/**
 * Removes the inode rows of objects that others removed. Each listing numbers all its entries, so without this the table would
 * keep everything that ever was in the bucket. Like an object that lost its last name here, each stays until no door needs it:
 * the kernel may still know its number.
 *
 * Works in the background, and only with tree nodes that are on this machine. Rows that these cannot decide stay.
 */
import type { Cid, Ino } from "../base/ids.ts";
import {
  EPOCH_OBJECTS,
  GONE_INODES_PAUSE_MS,
  GONE_INODES_PORTION,
  GONE_INODES_WAIT_MS,
  TABLES_LOG_ROWS,
} from "../base/limits.ts";
import { describeError } from "../base/log.ts";
import type { Ports } from "../base/ports.ts";
import { heldReader } from "../blocks/held-reader.ts";
import { goneFrom } from "../fstree/gone-objects.ts";
import type { InodeRow } from "../overlay/disk/storage.ts";
import { neededInodes } from "../overlay/needed-inodes.ts";
import type { Overlay } from "../overlay/overlay.ts";
import { NodeStore } from "../tree/node-store.ts";
import type { Objects } from "./objects.ts";

export interface GoneInodesOptions extends Pick<Ports, "clock" | "log"> {
  readonly objects: Objects;
  /** The blocks among `cids` that are on this machine. */
  readonly held: (cids: readonly Cid[]) => Promise<ReadonlyMap<Cid, Uint8Array>>;
  readonly signal: AbortSignal;
}

/** Apart from the nodes that serve programs. */
const NODE_BYTES = 2 * 1024 * 1024;

/** The next look at all rows is due after this many new numbers, plus as many as the last look kept. */
const LEAST_NUMBERS = 10_000;

/** Never rejects; ends soon after `signal`. */
export async function removeGoneInodes(options: GoneInodesOptions): Promise<void> {
  const { clock, log, signal } = options;
  const gone = new GoneInodes(options);
  while (!signal.aborted) {
    try {
      await clock.sleep(GONE_INODES_WAIT_MS, signal);
      const removed = await gone.remove();
      if (removed > 0) log.info("Numbers of objects that others removed are forgotten.", { inodes: removed });
    } catch (error) {
      if (!signal.aborted) log.warn(`Cannot forget the numbers of removed objects: ${describeError(error)}`);
    }
  }
}

export class GoneInodes {
  readonly #objects: Objects;
  readonly #overlay: Overlay;
  readonly #nodes: NodeStore;
  readonly #pause: () => Promise<void>;
  /** No door needs these any more. */
  #forgotten: Ino[] = [];
  /** A look at all rows is due when the next number reaches this. */
  #lookAt = 0;
  #logged = 0;

  constructor({ objects, held, clock, signal }: Omit<GoneInodesOptions, "log">) {
    this.#objects = objects;
    this.#overlay = objects.overlay;
    this.#nodes = new NodeStore(heldReader(held), { capacityBytes: NODE_BYTES });
    this.#pause = () => clock.sleep(GONE_INODES_PAUSE_MS, signal);
    objects.onForgotten = (ino) => this.#forgotten.push(ino);
  }

  async remove(): Promise<number> {
    const { state } = this.#overlay;
    const removed = await this.#removeForgotten();
    // With very many changes it would take long to find out which rows they need.
    if (state.inodes.next < this.#lookAt || state.count > EPOCH_OBJECTS) return removed;
    return removed + (await this.#look());
  }

  async #look(): Promise<number> {
    const { inodes } = this.#overlay.state;
    let [seen, removed] = [0, 0];
    // The tables then have all rows.
    await this.#overlay.checkpoint();
    for (let below = inodes.next; ;) {
      await this.#pause();
      removed += await this.#removeForgotten();
      const rows = inodes.rowsBelow(below, GONE_INODES_PORTION);
      const last = rows.at(-1);
      if (last === undefined) break;
      seen += rows.length;
      await this.#whenUnused(rows, (unused) => {
        for (const ino of unused) this.#objects.onOrphan(ino);
      });
      below = last.ino;
    }
    this.#lookAt = inodes.next + (seen - removed) + LEAST_NUMBERS;
    return removed;
  }

  async #removeForgotten(): Promise<number> {
    let removed = 0;
    while (this.#forgotten.length > 0) {
      const inos = this.#forgotten.splice(0, GONE_INODES_PORTION);
      await this.#whenUnused(this.#rowsOf(inos), (unused) => {
        this.#overlay.removeInodes(unused);
        removed += unused.length;
      });
      await this.#checkpoint(inos.length);
    }
    return removed;
  }

  #rowsOf(inos: readonly Ino[]): InodeRow[] {
    return inos.flatMap((ino) => this.#overlay.state.inodes.row(ino) ?? []);
  }

  /** Calls `act` with the numbers that neither the base nor unpublished changes need at that moment. */
  async #whenUnused(rows: readonly InodeRow[], act: (inos: Ino[]) => void): Promise<void> {
    const { state } = this.#overlay;
    for (;;) {
      const { tree } = state.base;
      const gone = await goneFrom(this.#nodes, tree, rows, this.#pause);
      // The base moved meanwhile, and may have got them back.
      if (state.base.tree !== tree) continue;
      const needed = gone.length === 0 ? new Set() : neededInodes(state, this.#objects.heldInodes());
      const isUnused = ({ ino, id }: InodeRow) => !needed.has(ino) && state.inodes.row(ino)?.id === id;
      act(gone.filter(isUnused).map(({ ino }) => ino));
      return;
    }
  }

  /** The tables write their log into the database, before that would take long. */
  async #checkpoint(rows: number): Promise<void> {
    this.#logged += rows;
    if (this.#logged < TABLES_LOG_ROWS) return;
    this.#logged = 0;
    await this.#overlay.checkpoint();
  }
}
