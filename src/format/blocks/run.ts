/**
 * A run: where the blocks of many packs lie, sorted by digest, in pages that are read one at a time.
 *
 * Page = up to 897 rows ‖ zeros ‖ check 16, 64 KiB in all; every page but the last is full. Row = digest 32 ‖ pack reference
 * 33 (format/blocks/object-name.ts) ‖ offset u32 ‖ length u24 ‖ codec u8, little-endian. Check = the first 16 bytes of blake3
 * derive_key "syncline/run-page/1" over blake3(the page before it). The number of rows is in the manifest. Digests are uniform,
 * so a row's place in the run follows from its digest by interpolation. A row names the whole pack, so that a lookup is one
 * ranged read; shorter rows would need a second.
 */
import { SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { RUN_PAGE_BYTES } from "../../base/limits.ts";
import { blake3, deriveHash, HASH_BYTES } from "../../crypto/hash.ts";
import { PACK_REFERENCE_BYTES, packFromReference, packReference } from "./object-name.ts";
import { type PackRow, searchRows } from "./pack.ts";

export interface RunRow extends PackRow {
  readonly pack: PackName;
}

export const RUN_ROW_BYTES = HASH_BYTES + PACK_REFERENCE_BYTES + 4 + 3 + 1;
const CHECK_BYTES = 16;
export const RUN_PAGE_ROWS = Math.floor((RUN_PAGE_BYTES - CHECK_BYTES) / RUN_ROW_BYTES);

export function pagesOfRun(rows: number): number {
  return Math.ceil(rows / RUN_PAGE_ROWS);
}

/** The page from `low` to `high` (inclusive) where a uniform digest between the bounds is expected. */
export function guessPage(digest: Uint8Array, bounds: PageBounds): number {
  const span = bounds.after - bounds.before;
  const part = span > 0 ? (prefixOf(digest) - bounds.before) / span : 0;
  const guess = bounds.low + Math.floor(part * (bounds.high - bounds.low + 1));
  return Math.min(bounds.high, Math.max(bounds.low, guess));
}

/** The pages that may hold a digest, and the digests' prefixes (48 bits) at both ends. */
export interface PageBounds {
  readonly low: number;
  readonly high: number;
  readonly before: number;
  readonly after: number;
}

/** The bounds before anything is known of a run with this many pages. */
export function wholeRun(pages: number): PageBounds {
  return { low: 0, high: pages - 1, before: 0, after: 2 ** 48 };
}

/** The first 48 bits of a digest, as a number. */
export function prefixOf(digest: Uint8Array): number {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).readUIntBE(0, 6);
}

/** One decoded page, searched in its encoded form. */
export class RunPage {
  readonly #bytes: Buffer;
  readonly count: number;

  constructor(bytes: Buffer, count: number) {
    this.#bytes = bytes;
    this.count = count;
  }

  *[Symbol.iterator](): Generator<RunRow> {
    for (let index = 0; index < this.count; index++) yield this.row(index);
  }

  /** The row of `digest`, or on which side of this page it would lie. */
  find(digest: Uint8Array): RunRow | "before" | "absent" | "after" {
    const { index, isThere } = searchRows(this.#bytes, RUN_ROW_BYTES, this.count, digest);
    if (isThere) return this.row(index);
    if (index === 0) return "before";
    return index === this.count ? "after" : "absent";
  }

  row(index: number): RunRow {
    const at = index * RUN_ROW_BYTES;
    const place = at + HASH_BYTES + PACK_REFERENCE_BYTES;
    return {
      digest: this.#bytes.subarray(at, at + HASH_BYTES),
      pack: packFromReference(this.#bytes.subarray(at + HASH_BYTES, place)),
      offset: this.#bytes.readUInt32LE(place),
      length: this.#bytes.readUIntLE(place + 4, 3),
      codec: this.#bytes[place + 7] ?? 0,
    };
  }
}

/** A page of up to RUN_PAGE_ROWS rows in ascending order of digests. */
export function encodePage(rows: readonly RunRow[]): Uint8Array {
  const page = Buffer.alloc(RUN_PAGE_BYTES);
  for (const [index, row] of rows.entries()) {
    const at = index * RUN_ROW_BYTES;
    const place = at + HASH_BYTES + PACK_REFERENCE_BYTES;
    page.set(row.digest, at);
    page.set(packReference(row.pack), at + HASH_BYTES);
    page.writeUInt32LE(row.offset, place);
    page.writeUIntLE(row.length, place + 4, 3);
    page[place + 7] = row.codec;
  }
  page.set(checkOf(page), RUN_PAGE_BYTES - CHECK_BYTES);
  return page;
}

/** Page `index` of a run of `rows` rows. Throws `format_invalid`. */
export function decodePage(bytes: Uint8Array, index: number, rows: number): RunPage {
  const page = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.min(RUN_PAGE_ROWS, rows - index * RUN_PAGE_ROWS);
  if (page.length !== RUN_PAGE_BYTES || count <= 0) throw invalid("has the wrong size");
  if (Buffer.compare(checkOf(page), page.subarray(RUN_PAGE_BYTES - CHECK_BYTES)) !== 0) throw invalid("is damaged");
  for (let row = 1; row < count; row++) {
    const at = row * RUN_ROW_BYTES;
    const order = page.compare(page, at, at + HASH_BYTES, at - RUN_ROW_BYTES, at - RUN_ROW_BYTES + HASH_BYTES);
    if (order >= 0) throw invalid("has rows out of order");
  }
  if (page.subarray(count * RUN_ROW_BYTES, RUN_PAGE_BYTES - CHECK_BYTES).some((byte) => byte !== 0)) {
    throw invalid("has bytes after its rows");
  }
  return new RunPage(page, count);
}

function checkOf(page: Uint8Array): Uint8Array {
  const hash = deriveHash("syncline/run-page/1", blake3(page.subarray(0, RUN_PAGE_BYTES - CHECK_BYTES)));
  return hash.subarray(0, CHECK_BYTES);
}

function invalid(what: string): SynclineError {
  return new SynclineError("format_invalid", `A page of a run ${what}.`);
}
