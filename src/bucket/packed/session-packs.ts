/**
 * The packs that one upload session has stored and that no manifest lists yet. Those that it inherited from an earlier
 * process count only once it needs a block of theirs.
 */
import type { Cid, PackName } from "../../base/ids.ts";
import { digestOf } from "../../format/blocks/cid.ts";
import type { PackFooter } from "../../format/blocks/pack.ts";
import { prefixOf } from "../../format/blocks/run.ts";
import type { UploadedPack } from "./pack-uploader.ts";
import type { Placement } from "../../packs/ranged-reads.ts";

export class SessionPacks {
  readonly #packs = new Map<PackName, UploadedPack>();
  /** Inherited, and not needed so far. */
  readonly #spare = new Set<PackName>();
  readonly #index = new PrefixIndex();

  inherit(uploaded: UploadedPack): void {
    const { name } = uploaded.pack;
    if (this.#packs.has(name)) return;
    this.add(uploaded);
    this.#spare.add(name);
  }

  add(uploaded: UploadedPack): void {
    const { pack, footer } = uploaded;
    this.#packs.set(pack.name, uploaded);
    this.#index.add(pack.name, footer);
  }

  /** True if the session needs it. */
  forget(name: PackName): boolean {
    this.#packs.delete(name);
    return !this.#spare.delete(name);
  }

  /** Those that the session needs. */
  get needed(): readonly UploadedPack[] {
    return [...this.#packs.values()].filter(({ pack }) => !this.#spare.has(pack.name));
  }

  /** Whether it needs them or not. */
  get names(): readonly PackName[] {
    return [...this.#packs.keys()];
  }

  locate(cid: Cid): Placement | undefined {
    if (this.#packs.size === 0) return undefined;
    const digest = digestOf(cid);
    for (const name of this.#index.packsWith(digest)) {
      const row = this.#packs.get(name)?.footer.find(digest);
      if (row === undefined) continue;
      this.#spare.delete(name);
      return { pack: name, offset: row.offset, length: row.length, codec: row.codec };
    }
    return undefined;
  }
}

/** Rows of some packs: the first 48 bits of digests, ascending, and each one's pack number. */
interface Piece {
  readonly prefixes: Float64Array;
  readonly packs: Uint32Array;
}

/**
 * Which packs may hold a block: every block of an upload is looked up, and a long upload has thousands of packs. Each piece
 * is at least twice as long as the next, so there are few, and a row is merged only a few times. 12 bytes a row.
 */
class PrefixIndex {
  readonly #names: PackName[] = [];
  readonly #pieces: Piece[] = [];

  add(name: PackName, footer: PackFooter): void {
    const number = this.#names.push(name) - 1;
    const prefixes = Float64Array.from(footer, ({ digest }) => prefixOf(digest));
    let piece: Piece = { prefixes, packs: new Uint32Array(footer.count).fill(number) };
    for (let last = this.#pieces.at(-1); last !== undefined; last = this.#pieces.at(-1)) {
      if (last.prefixes.length >= 2 * piece.prefixes.length) break;
      this.#pieces.pop();
      piece = merged(last, piece);
    }
    this.#pieces.push(piece);
  }

  *packsWith(digest: Uint8Array): Generator<PackName> {
    const prefix = prefixOf(digest);
    for (const { prefixes, packs } of this.#pieces) {
      for (let at = firstAt(prefixes, prefix); prefixes[at] === prefix; at++) {
        const name = this.#names[packs[at] ?? 0];
        if (name !== undefined) yield name;
      }
    }
  }
}

function merged(a: Piece, b: Piece): Piece {
  const length = a.prefixes.length + b.prefixes.length;
  const prefixes = new Float64Array(length);
  const packs = new Uint32Array(length);
  let fromA = 0;
  let fromB = 0;
  for (let at = 0; at < length; at++) {
    const isA = (a.prefixes[fromA] ?? Infinity) <= (b.prefixes[fromB] ?? Infinity);
    const [piece, from] = isA ? [a, fromA++] : [b, fromB++];
    prefixes[at] = piece.prefixes[from] ?? 0;
    packs[at] = piece.packs[from] ?? 0;
  }
  return { prefixes, packs };
}

/** The first index with a prefix not below this one. */
function firstAt(prefixes: Float64Array, prefix: number): number {
  let low = 0;
  for (let high = prefixes.length; low < high;) {
    const middle = (low + high) >>> 1;
    if ((prefixes[middle] ?? 0) < prefix) low = middle + 1;
    else high = middle;
  }
  return low;
}
