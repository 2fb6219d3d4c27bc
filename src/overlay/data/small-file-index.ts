/** Where the bytes of an epoch's small files lie. Nearly all are one piece, stored as numbers: there may be many. */
import type { Ino } from "../../base/ids.ts";
import { Pieces, type Piece } from "./small-pieces.ts";

/** Numbers of one piece: offset, length, at, and the part that holds it. */
const FIELDS = 4;

export class SmallFileIndex {
  readonly #rows = new Map<Ino, number>();
  readonly #several = new Map<Ino, Pieces>();
  #numbers = new Float64Array(FIELDS * 256);
  #count = 0;
  readonly #parts: string[] = [];

  get isEmpty(): boolean {
    return this.#rows.size + this.#several.size === 0;
  }

  /** Undefined: the file's bytes are stored elsewhere. */
  pieces(ino: Ino): readonly Piece[] | undefined {
    const row = this.#rows.get(ino);
    return row === undefined ? this.#several.get(ino)?.all() : [this.#piece(row)];
  }

  /** Replaces what it overlaps. */
  put(ino: Ino, piece: Piece): void {
    const several = this.#several.get(ino);
    const row = this.#rows.get(ino);
    if (several !== undefined) several.put(piece);
    else if (row === undefined) this.#rows.set(ino, this.#add(piece));
    else {
      const pieces = new Pieces();
      pieces.put(this.#piece(row));
      pieces.put(piece);
      this.#rows.delete(ino);
      this.#several.set(ino, pieces);
    }
  }

  delete(ino: Ino): void {
    this.#rows.delete(ino);
    this.#several.delete(ino);
  }

  #add({ offset, length, at, part }: Piece): number {
    const from = this.#count * FIELDS;
    if (from === this.#numbers.length) {
      const larger = new Float64Array(2 * from);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    if (this.#parts.at(-1) !== part) this.#parts.push(part);
    this.#numbers.set([offset, length, at, this.#parts.length - 1], from);
    return this.#count++;
  }

  #piece(row: number): Piece {
    const [offset = 0, length = 0, at = 0, part = 0] = this.#numbers.subarray(row * FIELDS, (row + 1) * FIELDS);
    return { offset, length, at, part: this.#parts[part] ?? "" };
  }
}
