/**
 * A growing pack: batches of blocks are appended, with their rows in a journal beside it; a batch counts once both are
 * flushed. The batch that fills it is written with the footer, and one flush makes both durable.
 *
 * Unflushed bytes are not part of the pack. After a failed flush the disk's state is unknown, and a second flush would
 * falsely succeed (fsync forgets). Such a pack is never written again: its flushed blocks stay readable, and it gets its
 * footer at the next start.
 */
import type { Block } from "../../blocks/block-store.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import { encodeFooter, PACK_ROW_BYTES, PACK_TAIL_BYTES, type PackRow, PLAIN } from "../../format/blocks/pack.ts";
import { coveringRows, haveDuplicates } from "../../packs/covering-rows.ts";
import type { PackDisk, PackFile } from "./pack-disk.ts";
import { gapsIn } from "../../packs/pack-rows.ts";
import { openPath, rowsPath, sealedPath } from "./pack-path.ts";
import { encodeFrame, readJournal } from "./row-journal.ts";

/** The ends of a pack and its journal. */
export interface PackPosition {
  /** Bytes of blocks. */
  readonly end: number;
  readonly rows: number;
  /** Bytes of complete frames in the journal. */
  readonly rowsEnd: number;
  readonly frames: number;
}

/** A batch in an open pack. */
export interface Batch {
  readonly rows: readonly PackRow[];
  /** No batch may follow it. */
  readonly ends: boolean;
  /** Whether it includes the footer. False where the journal lost flushed rows, which recovery finds elsewhere. */
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
  /** Whether its files' names are durable. */
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

  /** Continues a pack that recovery has brought to this position. */
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

  /** How many of `blocks` still fit, from the first on; and whether they fill it: `packBytes` with its footer. */
  room(blocks: readonly Block[], packBytes: number): { readonly count: number; readonly fills: boolean } {
    let { end, rows } = this.#position;
    for (const [index, { bytes }] of blocks.entries()) {
      end += bytes.length;
      rows++;
      if (isFull(end, rows, packBytes)) return { count: index + 1, fills: true };
    }
    return { count: blocks.length, fills: false };
  }

  /** Appends blocks to what is flushed; `ends`: with the footer, if all rows are known. After a failure, call `cut`. */
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

  /** Makes the last batch durable. After a failure the pack must not be written again. */
  async flush({ seals, after }: Batch): Promise<void> {
    const flushes = [this.#file.sync()];
    if (!seals) flushes.push(this.#journal.sync());
    if (!this.#named) flushes.push(this.#disk.syncFolder(this.#folder));
    const outcomes = await Promise.allSettled(flushes);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    this.#named = true;
    this.#position = after;
  }

  /** Gives it its final name, once the sealing batch is flushed. If that fails, the next start does it. */
  async seal(): Promise<void> {
    await this.#disk.rename(openPath(this.#folder, this.name), sealedPath(this.#folder, this.name));
    await this.#disk.remove(rowsPath(this.#folder, this.name));
  }

  /** Removes unflushed bytes, so that a failed batch is not mistaken for an unfinished one later. */
  async cut(): Promise<void> {
    await this.#file.truncate(this.#position.end);
    await this.#journal.truncate(this.#position.rowsEnd);
  }

  async close(): Promise<void> {
    await Promise.all([this.#file.close(), this.#journal.close()]);
  }

  /** An index that forgot a block can have it stored twice in one pack. A footer cannot express that. */
  async #writeDoubled(
    parts: readonly Uint8Array[],
    rows: readonly PackRow[],
    after: PackPosition,
  ): Promise<PackPosition> {
    await this.#file.write(this.#position.end, parts);
    const all = await coveringRows(this.#file, rows, after.end);
    await this.#file.write(after.end, [encodeFooter(all, new Uint8Array()).bytes]);
    return after;
  }

  /** Undefined: the journal no longer has all of them. */
  async #flushedRows(): Promise<PackRow[] | undefined> {
    const { end, rows: count, rowsEnd } = this.#position;
    const bytes = await this.#journal.read(0, rowsEnd).catch(() => undefined);
    if (bytes === undefined) return undefined;
    const rows = readJournal(bytes).frames.flatMap((frame) => frame.rows);
    return rows.length === count && gapsIn(rows, 0, end).length === 0 ? rows : undefined;
  }
}

/** Whether a pack of this many bytes and rows should get its footer. */
export function isFull(end: number, rows: number, packBytes: number): boolean {
  return rows >= MAX_ROWS || end + rows * PACK_ROW_BYTES + PACK_TAIL_BYTES >= packBytes;
}

/** Limits footers of tiny blocks: they are sorted and checked in one go, which blocks others for some 20 ms. */
const MAX_ROWS = 32_768;
