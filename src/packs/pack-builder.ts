/** Concatenates blocks and appends the footer. */
import type { PackName } from "../base/ids.ts";
import type { Block } from "../blocks/block-store.ts";
import { digestKey, digestOf } from "../format/blocks/cid.ts";
import type { LoosePack } from "../format/blocks/manifest.ts";
import { encodeFooter, type PackFooter, type PackRow, PLAIN } from "../format/blocks/pack.ts";

/** A pack that is ready to be stored. */
export interface BuiltPack {
  readonly pack: LoosePack;
  readonly footer: PackFooter;
  readonly body: readonly Uint8Array[];
  readonly blocks: number;
}

/** The pack of these blocks, in this order; equal blocks are stored once. `manifest` is empty except in commit objects. */
export function buildPack(name: PackName, blocks: Iterable<Block>, manifest: Uint8Array = new Uint8Array()): BuiltPack {
  const body: Uint8Array[] = [];
  const rows: PackRow[] = [];
  const seen = new Set<string>();
  let offset = 0;
  for (const { cid, bytes } of blocks) {
    if (seen.has(digestKey(cid))) continue;
    seen.add(digestKey(cid));
    rows.push({ digest: digestOf(cid), offset, length: bytes.length, codec: PLAIN });
    body.push(bytes);
    offset += bytes.length;
  }
  const { footer, bytes } = encodeFooter(rows, manifest);
  const shape = { size: offset + bytes.length, rows: rows.length, manifestBytes: manifest.length };
  return { pack: { name, ...shape }, footer, body: [...body, bytes], blocks: rows.length };
}
