/**
 * A pack that grows: batches of blocks at its end, their rows in a journal beside it, both flushed before a batch counts. The batch
 * that fills it is written together with the footer, and one flush makes both durable.
 *
 * What was written and not flushed is no part of it. After a flush has failed nobody knows what is on the disk, and a second one
 * would claim success (fsync forgets): such a pack is never written again, what was flushed before stays readable, and it gets
 * its footer when the store is opened the next time.
 */
import type { Block } from "../../blocks/block-store.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import { encodeFooter, PACK_ROW_BYTES, PACK_TAIL_BYTES, type PackRow, PLAIN } from "../../format/blocks/pack.ts";
import { footerRows, haveDuplicates } from "./footer-rows.ts";
import type { PackDisk, PackFile } from "./pack-disk.ts";
import { gapsIn } from "./pack-rows.ts";
import { openPath, rowsPath, sealedPath } from "./pack-path.ts";
import { encodeFrame, readJournal } from "./row-journal.ts";

/** How far a pack and its journal of rows have come. */
export interface PackPosition {
  /** Bytes of blocks. */
  readonly end: number;
  readonly rows: number;
  /** Bytes of whole frames in the journal. */
  readonly rowsEnd: number;
  readonly frames: number;
}

/** A batch in an open pack. */
export interface Batch {
  readonly rows: readonly PackRow[];
  /** Nothing more may come behind it. */
  readonly ends: boolean;
  /** Whether it came with the footer: not where the journal lost rows of what is flushed, which recovery finds elsewhere. */
  readonly seals: boolean;
  readonly after: PackPosition;
}

export class OpenPack {
  readonly name: string;
  readonly #disk: PackDisk;
  readonly #folder: string;
  readonly #file: PackFile;
  readonly #journal: PackFile;
  #position: PackPosition;
  /** Whether the names of its files are durable. */
  #named: boolean;

  private constructor(disk: PackDisk, folder: string, name: string, files: [PackFile, PackFile], at?: PackPosition) {
    this.#disk = disk;
    this.#folder = folder;
    this.name = name;
    [this.#file, this.#journal] = files;
    this.#position = at ?? { end: 0, rows: 0, rowsEnd: 0, frames: 0 };
    this.#named = at !== undefined;
  }

  static async create(disk: PackDisk, folder: string, name: string): Promise<OpenPack> {
    const journal = await disk.create(rowsPath(folder, name));
    try {
      return new OpenPack(disk, folder, name, [await disk.create(openPath(folder, name)), journal]);
    } catch (error) {
      await journal.close();
      await disk.remove(rowsPath(folder, name)).catch(() => {});
      throw error;
    }
  }

  /** Goes on with a pack that recovery has brought to this position. */
  static async resume(disk: PackDisk, folder: string, name: string, at: PackPosition): Promise<OpenPack | undefined> {
    const file = await disk.open(openPath(folder, name), "write");
    if (file === undefined) return undefined;
    const journal = await disk.open(rowsPath(folder, name), "write");
    if (journal !== undefined) return new OpenPack(disk, folder, name, [file, journal], at);
    await file.close();
    return undefined;
  }

  get end(): number {
    return this.#position.end;
  }

  /** How many of `blocks`, from the first on, still go in; and whether they fill it, at `packBytes` with its footer. */
  room(blocks: readonly Block[], packBytes: number): { readonly count: number; readonly fills: boolean } {
    let { end, rows } = this.#position;
    for (const [index, { bytes }] of blocks.entries()) {
      end += bytes.length;
      rows++;
      if (isFull(end, rows, packBytes)) return { count: index + 1, fills: true };
    }
    return { count: blocks.length, fills: false };
  }

  /** Writes blocks behind what is flushed; `ends`: with the footer, if it is known what is in the pack. After a failure it is to be cut. */
  async write(blocks: readonly Block[], ends: boolean): Promise<Batch> {
    const { end: start, rows: count, rowsEnd, frames } = this.#position;
    const rows: PackRow[] = [];
    let end = start;
    for (const { cid, bytes } of blocks) {
      rows.push({ digest: digestOf(cid), offset: end, length: bytes.length, codec: PLAIN });
      end += bytes.length;
    }
    const parts = blocks.map(({ bytes }) => bytes);
    const after = { end, rows: count + rows.length, rowsEnd, frames };
    const flushed = ends ? await this.#flushedRows() : undefined;
    if (flushed !== undefined) {
      const all = [...flushed, ...rows];
      const batch = { rows, ends, seals: true };
      if (haveDuplicates(all)) return { ...batch, after: await this.#writeDoubled(parts, all, after) };
      const footer = encodeFooter(all, new Uint8Array());
      await this.#file.write(start, [...parts, footer.bytes]);
      return { ...batch, after };
    }
    if (rows.length === 0) return { rows, ends, seals: false, after };
    await this.#file.write(start, parts);
    const frame = encodeFrame(frames, start, rows);
    await this.#journal.write(rowsEnd, [frame]);
    return { rows, ends, seals: false, after: { ...after, rowsEnd: rowsEnd + frame.length, frames: frames + 1 } };
  }

  /** Makes the batch written last durable. After a failure the pack is not to be written again. */
  async flush({ seals, after }: Batch): Promise<void> {
    const flushes = [this.#file.sync()];
    if (!seals) flushes.push(this.#journal.sync());
    if (!this.#named) flushes.push(this.#disk.syncFolder(this.#folder));
    const outcomes = await Promise.allSettled(flushes);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    this.#named = true;
    this.#position = after;
  }

  /** Gives it its final name, once the batch that seals it is flushed. If that fails, the next opening does it. */
  async seal(): Promise<void> {
    await this.#disk.rename(openPath(this.#folder, this.name), sealedPath(this.#folder, this.name));
    await this.#disk.remove(rowsPath(this.#folder, this.name));
  }

  /** Takes back what is not flushed, so that a failed batch cannot be taken for an unfinished one later. */
  async cut(): Promise<void> {
    await this.#file.truncate(this.#position.end);
    await this.#journal.truncate(this.#position.rowsEnd);
  }

  async close(): Promise<void> {
    await Promise.all([this.#file.close(), this.#journal.close()]);
  }

  /** Only an index that forgot a block has it stored twice in one pack. A footer cannot say that. */
  async #writeDoubled(
    parts: readonly Uint8Array[],
    rows: readonly PackRow[],
    after: PackPosition,
  ): Promise<PackPosition> {
    await this.#file.write(this.#position.end, parts);
    const all = await footerRows(this.#file, rows, after.end);
    await this.#file.write(after.end, [encodeFooter(all, new Uint8Array()).bytes]);
    return after;
  }

  /** Undefined: the journal does not tell all of them any more. */
  async #flushedRows(): Promise<PackRow[] | undefined> {
    const { end, rows: count, rowsEnd } = this.#position;
    const bytes = await this.#journal.read(0, rowsEnd).catch(() => undefined);
    if (bytes === undefined) return undefined;
    const rows = readJournal(bytes).frames.flatMap((frame) => frame.rows);
    return rows.length === count && gapsIn(rows, 0, end).length === 0 ? rows : undefined;
  }
}

/** Whether a pack with so many bytes and rows of blocks is to get its footer. */
export function isFull(end: number, rows: number, packBytes: number): boolean {
  return rows >= MAX_ROWS || end + rows * PACK_ROW_BYTES + PACK_TAIL_BYTES >= packBytes;
}

/** Footers of tiny blocks: they are sorted and checked in one go, which keeps others waiting for some 20 ms. */
const MAX_ROWS = 32_768;
