/** READDIR and READDIRPLUS: entries are collected in shared cells and packed natively. */
import { BlockMiss } from "../blocks/block-store.ts";
import type { DirectoryEntry } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import { type Handler, type HandlerEntry, reads } from "./handler.ts";
import { ATTRIBUTE, DIRENTPLUS_HEAD_BYTES, DIRENT_HEAD_BYTES, ENTRY, MAX_WRITE_BYTES, OPCODE } from "./protocol.ts";

/** "." and ".." */
const DOTS = 2;

const list =
  (plus: boolean): Handler =>
  (fs, exchange) => {
    const limit = Math.min(exchange.argument(1), MAX_WRITE_BYTES);
    const page = new Page(exchange, plus ? DIRENTPLUS_HEAD_BYTES : DIRENT_HEAD_BYTES, limit);
    try {
      fs.readDirectory(exchange.node, exchange.argument(0), plus, (entry) => page.add(entry));
    } catch (error) {
      // The entries so far are an answer; the next call continues from there. The dots alone are none: programs ask for no
      // attributes of them, so the kernel would ask for the next entries without attributes, and then look up each.
      if (!(error instanceof BlockMiss) || page.count <= DOTS) throw error;
    }
    exchange.data(exchange.session.packEntries(page.count, plus ? 1 : 0, exchange.outputOffset, limit));
  };

export const DIRECTORY_HANDLERS: readonly HandlerEntry[] = [
  reads(OPCODE.READDIR, list(false)),
  reads(OPCODE.READDIRPLUS, list(true)),
];

/** The entries of one answer, in the session's cells. */
class Page {
  count = 0;
  readonly #exchange: Exchange;
  readonly #headBytes: number;
  readonly #limit: number;
  #bytes = 0;
  #nameBytes = 0;

  constructor(exchange: Exchange, headBytes: number, limit: number) {
    this.#exchange = exchange;
    this.#headBytes = headBytes;
    this.#limit = limit;
  }

  /** False if the entry no longer fits. */
  add(entry: DirectoryEntry): boolean {
    const { cells, entryNames } = this.#exchange.session;
    const length = entry.name.length;
    const bytes = (this.#headBytes + length + 7) & ~7;
    if (this.#bytes + bytes > this.#limit || this.count === ENTRY.MOST) return false;
    const at = ENTRY.AT + this.count * ENTRY.CELLS;
    if (entry.attributes === undefined) {
      cells[at + ATTRIBUTE.INO] = entry.ino;
      cells[at + ATTRIBUTE.MODE] = entry.mode;
    } else {
      this.#exchange.writeAttributes(at, entry.attributes);
    }
    cells[at + ENTRY.NEXT] = entry.next;
    cells[at + ENTRY.NAME_LENGTH] = length;
    entryNames.write(entry.name, this.#nameBytes, length, "latin1");
    this.#nameBytes += length;
    this.#bytes += bytes;
    this.count++;
    return true;
  }
}
