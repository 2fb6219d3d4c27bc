/** Concatenates blocks and appends the footer. */
import { SynclineError } from "../base/errors.ts";
import type { PackName } from "../base/ids.ts";
import { PACK_MAX_BYTES } from "../base/limits.ts";
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

/**
 * The pack of these blocks, in this order; equal blocks are stored once. `manifest` is empty except in commit objects. Throws
 * `limit_exceeded` for a pack that no reader would take.
 */
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
  if (shape.size > PACK_MAX_BYTES) throw tooLarge(name, shape.size);
  return { pack: { name, ...shape }, footer, body: [...body, bytes], blocks: rows.length };
}

function tooLarge(name: PackName, bytes: number): SynclineError {
  const message = `${name} would have ${bytes} bytes, and packs have ${PACK_MAX_BYTES} at most. It was not stored.`;
  return new SynclineError("limit_exceeded", message, {
    hint: "If a collection says this, change how long history stays in smaller steps.",
  });
}
