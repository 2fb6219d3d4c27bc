/**
 * The files that programs have open, in memory that outlives an agent (native/mount_memory.h): the next agent goes on with
 * it. An open is known by the number of its request, which is also its handle. So what an agent did without answering may be
 * done again by the next one: it counts once.
 */
import type { Ino } from "../base/ids.ts";

/** What a program may do with a file that it opens. `hold`: write in place, on top of the version that it opens. */
export type Use = "read" | "append" | "hold";

export interface OpenedFile {
  readonly ino: Ino;
  readonly use: Use;
}

interface Row extends OpenedFile {
  /** In the memory. 0: only this process knows of it. */
  readonly at: number;
}

export class OpenTable {
  readonly #rows = new Map<number, Row>();
  readonly #cells: Float64Array | undefined;
  /** Places of rows that are free again. */
  readonly #free: number[] = [];

  /**
   * `memory`: as the agents before this one have left it, or all zeros. Undefined: there is none. `isNewMemory`: programs had
   * files open before there was this memory.
   */
  constructor(memory?: Buffer, isNewMemory = false) {
    if (memory === undefined) return;
    const cells = new Float64Array(memory.buffer, memory.byteOffset, memory.length / CELL_BYTES);
    this.#cells = cells;
    if (cells[VERSION] !== LAYOUT) {
      cells[END] = FIRST_ROW;
      cells[LACKS] = isNewMemory ? 1 : 0;
      cells[VERSION] = LAYOUT;
    }
    for (let at = FIRST_ROW; at < this.#end; at += ROW_CELLS) {
      const [handle = 0, ino = 0, use = 0] = cells.subarray(at, at + ROW_CELLS);
      const known = USES[use];
      if (handle === 0 || known === undefined) this.#free.push(at);
      else this.#rows.set(handle, { ino: ino as Ino, use: known, at });
    }
  }

  /** Whether the memory has all files that are open. */
  get isComplete(): boolean {
    return this.#cells !== undefined && this.#cells[LACKS] === 0;
  }

  files(): Iterable<OpenedFile> {
    return this.#rows.values();
  }

  get(handle: number): OpenedFile | undefined {
    return this.#rows.get(handle);
  }

  /** The handle must not be in use. */
  add(handle: number, ino: Ino, use: Use): void {
    const at = this.#place();
    this.#rows.set(handle, { ino, use, at });
    if (this.#cells === undefined || at === 0) return;
    this.#cells[at + 1] = ino;
    this.#cells[at + 2] = USES.indexOf(use);
    // Last: this process may be killed in between.
    this.#cells[at] = handle;
  }

  /** Undefined: the open is unknown, or was released already. */
  delete(handle: number): OpenedFile | undefined {
    const row = this.#rows.get(handle);
    if (row === undefined) return undefined;
    this.#rows.delete(handle);
    if (this.#cells === undefined || row.at === 0) return row;
    this.#cells[row.at] = 0;
    this.#free.push(row.at);
    return row;
  }

  #place(): number {
    const free = this.#free.pop();
    if (free !== undefined || this.#cells === undefined) return free ?? 0;
    const at = this.#end;
    if (at + ROW_CELLS > this.#cells.length) {
      this.#cells[LACKS] = 1;
      return 0;
    }
    this.#cells[END] = at + ROW_CELLS;
    return at;
  }

  get #end(): number {
    return Math.min(this.#cells?.[END] ?? 0, this.#cells?.length ?? 0);
  }
}

const CELL_BYTES = 8;
/** The head: the layout's version, where the next new row goes, and whether files are open that have no row. */
const VERSION = 0;
const END = 1;
const LACKS = 2;
const LAYOUT = 1;
/** The rows: the handle, or 0, the inode and the use. */
const FIRST_ROW = 3;
const ROW_CELLS = 3;
const USES: readonly Use[] = ["read", "append", "hold"];
