/** Packs that only a program writing to the store directly can make: nearly all of their bytes are rows. */
import type { PackName } from "../../src/base/ids.ts";
import { HASH_BYTES } from "../../src/crypto/hash.ts";
import { decodeManifest, encodeManifest, type LoosePack } from "../../src/format/blocks/manifest.ts";
import { commitObjectName, packName } from "../../src/format/blocks/object-name.ts";
import { decodeFooter, encodeFooter, footerOffset, PACK_TAIL_BYTES, readTail } from "../../src/format/blocks/pack.ts";
import { decodeRoot } from "../../src/format/blocks/root-object.ts";
import type { ByteRange, ObjectStore } from "../../src/objects/object-store.ts";
import { alteredStore } from "./altered-store.ts";

/**
 * `store`, in whose newest manifest there are these packs, too: with so many rows each, of blocks of a byte. Packs with
 * equally many rows are equal, and share their memory.
 */
export async function withForgedPacks(store: ObjectStore, rows: readonly number[]): Promise<ObjectStore> {
  const bodies = new Map(rows.map((count) => [count, forgedPack(count)]));
  const forged = new Map<string, Uint8Array>();
  const loose = rows.map((count, index): LoosePack => {
    const body = bodies.get(count) ?? new Uint8Array();
    const name = packName(Buffer.alloc(16, index + 1));
    forged.set(name, body);
    return { name, size: body.length, rows: count, manifestBytes: 0 };
  });
  await listPacks(store, loose);
  const slice = (body: Uint8Array, { offset, length }: ByteRange) => body.slice(offset, offset + length);
  return alteredStore(store, {
    getRanges: async (name, ranges) => {
      const body = forged.get(name);
      return body === undefined ? store.getRanges(name, ranges) : ranges.map((range) => slice(body, range));
    },
    getTail: async (name, length) => {
      const body = forged.get(name);
      return body === undefined ? store.getTail(name, length) : { bytes: body.slice(-length), size: body.length };
    },
  });
}

/** Rows of blocks of a byte, from offset 0 on. */
export function forgedRows(count: number) {
  const digests = Buffer.alloc(count * HASH_BYTES, 0xff);
  return Array.from({ length: count }, (_, offset) => {
    digests.writeUInt32BE(offset, offset * HASH_BYTES);
    return { digest: digests.subarray(offset * HASH_BYTES, (offset + 1) * HASH_BYTES), offset, length: 1, codec: 0 };
  });
}

function forgedPack(count: number): Uint8Array {
  const { bytes } = encodeFooter(forgedRows(count), new Uint8Array());
  const body = new Uint8Array(count + bytes.length);
  body.set(bytes, count);
  return body;
}

async function listPacks(store: ObjectStore, added: readonly LoosePack[]): Promise<void> {
  const root = await store.get("root");
  const name: PackName = commitObjectName(decodeRoot(root?.bytes ?? new Uint8Array()).commit);
  const { bytes = new Uint8Array(), token = "" } = (await store.get(name)) ?? {};
  const shape = readTail(bytes.subarray(-PACK_TAIL_BYTES), bytes.length);
  const start = footerOffset(shape);
  const { footer, manifest } = decodeFooter(bytes.subarray(start), shape);
  const told = decodeManifest(manifest);
  const end = encodeFooter([...footer], encodeManifest({ ...told, loose: [...told.loose, ...added] }));
  await store.putIfMatch(name, [bytes.subarray(0, start), end.bytes], token);
}
