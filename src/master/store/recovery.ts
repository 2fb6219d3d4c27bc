/**
 * Reconciles an owner's packs and index on opening: adds what the index lacks from journals and footers, truncates
 * unacknowledged bytes, and gives footers to packs that cannot continue. Acknowledged blocks are never removed.
 */
import { describeError, type Log } from "../../base/log.ts";
import { unlessSync } from "../../base/unless.ts";
import { encodeFooter, type PackRow } from "../../format/blocks/pack.ts";
import { type BlockIndex, type IndexedPack, isIndexFull, PACK_STATES } from "./block-index.ts";
import { coveringRows } from "../../packs/covering-rows.ts";
import { isFull, OpenPack } from "./open-pack.ts";
import { footerOf, type PackDisk, type PackFile } from "./pack-disk.ts";
import type { PackHandles } from "./pack-handles.ts";
import { holdsIntact } from "../../packs/block-check.ts";
import { endOf, isBefore } from "../../packs/pack-rows.ts";
import { listPacks, openPath, removePacks, rowsPath, sealedPath } from "./pack-path.ts";
import { Unindexed } from "./unindexed.ts";
import { inspectUnfinished, type UnfinishedPack } from "./unfinished-pack.ts";

export interface RecoveryOptions {
  readonly disk: PackDisk;
  readonly folder: string;
  readonly index: BlockIndex;
  readonly handles: PackHandles;
  readonly log: Log;
  /** The size at which a pack gets its footer. */
  readonly packBytes: number;
  /** Leases of blocks that the index did not know begin at this time: seconds since 1970. */
  readonly leased: number;
  /** Also gives footers to packs with unidentified bytes, which are then given up. */
  readonly givesUp?: boolean;
}

export interface Recovered {
  /** The pack to continue, if any. */
  readonly current: OpenPack | undefined;
  /** Blocks that the index had no space for. */
  readonly unindexed: Unindexed;
}

/** Throws the system's errors and SQLite's. */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  return new Recovery(options).run();
}

class Recovery {
  readonly #options: RecoveryOptions;
  #current: OpenPack | undefined;
  readonly #unindexed = new Unindexed();

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  async run(): Promise<Recovered> {
    const { disk, folder, index, log } = this.#options;
    const packs = await listPacks(disk, folder);
    const known = new Map(index.packs().map((pack) => [pack.name, pack]));
    try {
      for (const { name, sealed } of known.values()) {
        // An unfinished collection is abandoned: a later one starts over. Notes that a full disk refuses are made next time.
        if (sealed === PACK_STATES.leaving) unlessSync(isIndexFull, () => index.setState(name, PACK_STATES.sealed));
        if (sealed !== PACK_STATES.left) continue;
        await removePacks(disk, folder, [name]);
        unlessSync(isIndexFull, () => index.forgetPack(name));
        known.delete(name);
        packs.sealed.delete(name);
      }
      for (const name of packs.open) await this.#settle(name, known.get(name));
      for (const name of packs.rows) if (!packs.open.has(name)) await disk.remove(rowsPath(folder, name));
      for (const name of packs.sealed) if ((known.get(name)?.sealed ?? 0) < PACK_STATES.sealed) await this.#enter(name);
      for (const { name } of known.values()) {
        if (packs.sealed.has(name) || packs.open.has(name)) continue;
        if (index.holdsAny(name)) {
          log.error("a pack and its blocks are missing", { pack: name, folder });
          // Must succeed before serving: otherwise an uploader of these blocks would be told that they exist.
          index.dropPack(name);
        }
        // An empty pack may have been removed when there was no space to record that.
        else unlessSync(isIndexFull, () => index.forgetPack(name));
      }
      return { current: this.#current, unindexed: this.#unindexed };
    } catch (error) {
      await this.#current?.close();
      throw error;
    }
  }

  /** A pack that was growing at shutdown. */
  async #settle(name: string, known: IndexedPack | undefined): Promise<void> {
    const { disk, folder, index, packBytes } = this.#options;
    const file = await disk.open(openPath(folder, name), "write");
    if (file === undefined) return;
    const journal = await disk.open(rowsPath(folder, name), "write");
    try {
      const found = await inspectUnfinished(name, file, journal, index);
      if (found.rows.length === 0 && !found.damaged) {
        await disk.remove(openPath(folder, name));
        await disk.remove(rowsPath(folder, name));
        return;
      }
      await adopt(file, journal, found);
      // Before its first acknowledgment, a pack's name may not be durable.
      if (known === undefined || found.doubtful.length > 0) await disk.syncFolder(folder);
      if (found.sealed) return await this.#finish(name, file, found);
      if (found.damaged)
        this.#options.log.error("the journal of a pack lost rows", { pack: name, folder, unnamed: found.unnamed });
      if (found.unnamed > 0 && !this.#options.givesUp) {
        // It stays as it is for manual repair; the index must not claim to know more of it than before.
        await this.#add({ name, sealed: 0, end: known?.end ?? 0 }, file, found.rows);
        return;
      }
      await this.#add({ name, sealed: 0, end: found.position.end }, file, found.rows);
      const { end, rows } = found.position;
      const goesOn =
        !found.damaged && this.#current === undefined && !isFull(end, rows, packBytes) && !index.hasDamaged(name);
      if (goesOn) this.#current = await OpenPack.resume(disk, folder, name, found.position);
      else await this.#seal(name, file, found);
    } finally {
      await file.close();
      await journal?.close();
    }
  }

  /** Gives a pack its footer; if that fails, as on a full disk, it stays as it is until next time. */
  async #seal(name: string, file: PackFile, found: UnfinishedPack): Promise<void> {
    const { end } = found.position;
    try {
      await file.truncate(end);
      const rows = await coveringRows(file, found.rows, end);
      await file.write(end, [encodeFooter(rows, new Uint8Array()).bytes]);
      await file.sync();
      await this.#finish(name, file, { ...found, rows });
    } catch (error) {
      this.#options.log.warn("could not write the footer of a pack", { pack: name, error: describeError(error) });
      await file.truncate(end).catch(() => {});
    }
  }

  async #finish(name: string, file: PackFile, { rows, position }: UnfinishedPack): Promise<void> {
    const { disk, folder } = this.#options;
    await disk.rename(openPath(folder, name), sealedPath(folder, name));
    await disk.remove(rowsPath(folder, name));
    await this.#add({ name, sealed: 1, end: position.end }, file, rows);
  }

  /** A sealed pack that the index does not know, or knows in part. */
  async #enter(name: string): Promise<void> {
    const { disk, folder, log } = this.#options;
    const file = await disk.open(sealedPath(folder, name), "read");
    if (file === undefined) return;
    try {
      const footer = await footerOf(file).catch((error: unknown) => {
        log.error("a pack has no valid footer; its blocks are missing", { pack: name, error: describeError(error) });
      });
      const rows = [...(footer ?? [])];
      if (footer !== undefined) await this.#add({ name, sealed: 1, end: endOf(rows) }, file, rows);
    } finally {
      await file.close();
    }
  }

  /** If it is known, nothing is written, so that a full disk can still be served. */
  #isKnown({ name, sealed, end }: IndexedPack, known: IndexedPack | undefined, rows: readonly PackRow[]): boolean {
    const { index } = this.#options;
    if (known?.sealed !== sealed || known.end !== end) return false;
    return rows.every(({ digest, offset }) => {
      const place = index.find(digest);
      return place?.pack === name && place.offset === offset;
    });
  }

  /** If two packs have a block, the index keeps an intact copy. */
  async #add(pack: IndexedPack, file: PackFile, all: readonly PackRow[]): Promise<void> {
    const { index, handles, folder, leased } = this.#options;
    const known = index.packs().find(({ name }) => name === pack.name);
    // Rows enter together with the pack's end: an earlier row that is missing was collected as garbage or damaged.
    const isForgotten = (row: PackRow) => isBefore(row, known?.end ?? 0) && !index.names(row.digest);
    const rows = all.filter((row) => !isForgotten(row));
    if (this.#isKnown(pack, known, rows)) return;
    const elsewhere = unlessSync(isIndexFull, () => index.add(pack, rows, leased));
    if (elsewhere === undefined) {
      // Without space for the index, everything stored can still be read.
      this.#unindexed.add({ pack, rows: rows.filter(({ digest }) => index.find(digest) === undefined) });
      return;
    }
    for (const row of elsewhere) {
      const place = index.find(row.digest);
      if (place === undefined || !(await holdsIntact(file, row))) continue;
      const other = { ...row, offset: place.offset, length: place.length };
      if (await handles.use(folder, place.pack, (held) => holdsIntact(held, other))) continue;
      index.markDamaged(row.digest, place);
      index.add(pack, [row], leased);
    }
  }
}

/**
 * Secures the doubtful rows, and truncates the rest. The bytes are rewritten: after a failed flush they may exist in memory
 * only, and another flush would skip them.
 */
async function adopt(file: PackFile, journal: PackFile | undefined, found: UnfinishedPack): Promise<void> {
  const { doubtful, position, sealed, damaged } = found;
  for (const { offset, length } of doubtful) await file.write(offset, [await file.read(offset, length)]);
  // The footer replaces the journal, which is removed.
  if (sealed) {
    const size = await file.size();
    await file.write(position.end, [await file.read(position.end, size - position.end)]);
  } else if (doubtful.length > 0 && journal !== undefined) {
    await journal.write(0, [await journal.read(0, position.rowsEnd)]);
    await journal.sync();
  }
  if (sealed || doubtful.length > 0) await file.sync();
  if (sealed || damaged) return;
  await file.truncate(position.end);
  await journal?.truncate(position.rowsEnd);
}
