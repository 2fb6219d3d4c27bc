/**
 * Where tree nodes end: a rule on an entry's key and on encoded sizes alone, so that a tree's shape depends on its contents
 * and not on the order of the edits that made it (docs/reference/formats.md, Tree nodes).
 */
import { SynclineError } from "../base/errors.ts";
import { MAX_NODE_TARGET_BYTES, MIN_NODE_TARGET_BYTES, NODE_TARGET_BYTES } from "../base/limits.ts";
import { createKeyedHash, deriveHash } from "../crypto/hash.ts";

export interface TreeConfig {
  /** From the genesis, so that buckets share no node boundaries. */
  readonly salt: Uint8Array;
  /** The mean size of a node. */
  readonly targetBytes: number;
  /** The rule for nodes of one level. */
  boundary(level: number): Promise<Boundary>;
}

/** Throws `config_invalid` for a target outside MIN_NODE_TARGET_BYTES … MAX_NODE_TARGET_BYTES. */
export function createTreeConfig(options: { readonly salt: Uint8Array; readonly targetBytes?: number }): TreeConfig {
  const { salt, targetBytes = NODE_TARGET_BYTES } = options;
  if (!Number.isInteger(targetBytes) || targetBytes < MIN_NODE_TARGET_BYTES || targetBytes > MAX_NODE_TARGET_BYTES) {
    const bounds = `${MIN_NODE_TARGET_BYTES} to ${MAX_NODE_TARGET_BYTES}`;
    throw new SynclineError("config_invalid", `A node size of ${targetBytes} bytes is outside the range ${bounds}.`);
  }
  const levels = new Map<number, Promise<Boundary>>();
  const boundary = (level: number) => {
    const known = levels.get(level) ?? createBoundary(salt, level, targetBytes);
    levels.set(level, known);
    return known;
  };
  return { salt, targetBytes, boundary };
}

/** Whether an entry ends its node. `before`, `after`: encoded bytes of the node's entries without and with it. */
export class Boundary {
  readonly #hash: (bytes: Uint8Array) => Uint8Array;
  readonly #target: number;
  readonly #scale: number;

  constructor(hash: (bytes: Uint8Array) => Uint8Array, targetBytes: number) {
    this.#hash = hash;
    this.#target = targetBytes;
    this.#scale = Math.round(targetBytes / GAMMA_5_4);
  }

  /** Whether a node of this size may end at all. */
  mayClose(after: number, entries: number): boolean {
    return entries >= 2 && after * 8 >= this.#target;
  }

  /**
   * The entry ends the node if the node has at least two entries with it, `after` is at least an eighth of the target, and
   * either `after` reaches four targets or h·L⁴ < 2³²·(after⁴ − before⁴), computed exactly. h = the first four bytes of the
   * keyed blake3 of the key, as a little-endian u32. The sizes of nodes then follow a Weibull distribution of shape 4.
   */
  closes(key: Uint8Array, before: number, after: number, entries: number): boolean {
    if (!this.mayClose(after, entries)) return false;
    if (after >= this.#target * 4) return true;
    const hash = this.#hash(key);
    const h = ((hash[0] ?? 0) | ((hash[1] ?? 0) << 8) | ((hash[2] ?? 0) << 16) | ((hash[3] ?? 0) << 24)) >>> 0;
    return isBelow(h, this.#scale, before, after);
  }
}

/** h·L⁴ < 2³²·(e⁴ − s⁴), exactly. All below 2³². */
export function isBelow(h: number, scale: number, before: number, after: number): boolean {
  const square = scale * scale;
  const left = h * (square * square);
  const right = 2 ** 32 * ((after - before) * (after + before) * (after * after + before * before));
  // Squares below 2⁵³ are exact, and each of the at most four other steps rounds by at most 2⁻⁵³ of its result. So doubles
  // that differ by more than 2⁻⁴⁸ of the greater are ordered correctly. Closer ones are compared as whole numbers.
  if (Math.abs(left - right) > Math.max(left, right) * 2 ** -48) return left < right;
  const [l, s, e] = [BigInt(scale), BigInt(before), BigInt(after)];
  return BigInt(h) * l ** 4n < 2n ** 32n * (e ** 4n - s ** 4n);
}

async function createBoundary(salt: Uint8Array, level: number, targetBytes: number): Promise<Boundary> {
  const key = deriveHash("syncline/boundary/1", salt, Uint8Array.of(level));
  return new Boundary(await createKeyedHash(key), targetBytes);
}

/** Γ(1 + 1/4): the mean of a Weibull distribution of shape 4 and scale 1. NODE_TARGET_BYTES / GAMMA_5_4 is NODE_SCALE. */
const GAMMA_5_4 = 0.9064024770554771;
