/** Merges maps of bytes three-way, key by key: what one side changed is that side's, what both changed is the winner's. */

type Bytes<Key> = ReadonlyMap<Key, Uint8Array>;

export function mergeMaps<Key extends string | number>(
  base: Bytes<Key>,
  winner: Bytes<Key>,
  loser: Bytes<Key>,
): Map<Key, Uint8Array> {
  const merged = new Map<Key, Uint8Array>();
  for (const key of [...new Set([...winner.keys(), ...loser.keys()])].sort(ascending)) {
    const value = sameBytes(base.get(key), winner.get(key)) ? loser.get(key) : winner.get(key);
    if (value !== undefined) merged.set(key, value);
  }
  return merged;
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.from(a).equals(b);
}

function ascending(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
