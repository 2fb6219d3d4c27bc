/** Arbitrary ids, names and records for properties. */
import * as fc from "fast-check";
import type { FileId, FileName, WriterId } from "../../src/base/ids.ts";
import { ROOT_ID } from "../../src/base/ids.ts";
import { cidFromDigest } from "../../src/format/blocks/cid.ts";
import type { Codec } from "../../src/format/blocks/cid.ts";
import type { Content, FileRecord, FileType } from "../../src/format/files/record.ts";

const TYPES: readonly FileType[] = ["file", "directory", "symlink", "fifo", "socket", "char", "block"];

export function arbitraryId(): fc.Arbitrary<FileId> {
  return hex16().filter((id) => id !== ROOT_ID) as fc.Arbitrary<FileId>;
}

export function arbitraryName(): fc.Arbitrary<FileName> {
  return byteString(1, 255, "/\0").filter((name) => name !== "." && name !== "..") as fc.Arbitrary<FileName>;
}

export function arbitraryCid(codec: Codec) {
  return fc.uint8Array({ minLength: 32, maxLength: 32 }).map((digest) => cidFromDigest(codec, digest));
}

/** `long`: whether values that need a linked block occur (default: sometimes). */
export function arbitraryRecord({ long }: { long?: boolean } = {}): fc.Arbitrary<FileRecord> {
  return fc.constantFrom(...TYPES).chain((type) => recordOf(type, long));
}

function recordOf(type: FileType, long: boolean | undefined): fc.Arbitrary<FileRecord> {
  const longest = long === false ? 100 : 4095;
  const target = type === "symlink" ? byteString(1, longest, "\0") : fc.constant("");
  const content: fc.Arbitrary<Content> = type === "file" ? arbitraryContent() : fc.constant({ kind: "empty" });
  const isDevice = type === "char" || type === "block";
  return fc
    .record({
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: u32(),
      gid: u32(),
      more: fc.maxSafeNat(),
      mtimeNs: time(),
      ctimeNs: time(),
      birthNs: fc.option(
        time().filter((ns) => ns !== 0n),
        { nil: undefined },
      ),
      rdev: isDevice ? fc.maxSafeNat() : fc.constant(0),
      xattrs: arbitraryXattrs(long),
      content,
      target,
      conflict: fc.option(
        fc.record({ of: arbitraryId(), writer: hex16() as fc.Arbitrary<WriterId>, epoch: fc.maxSafeNat() }),
        { nil: undefined },
      ),
      unknown: arbitraryUnknown(),
    })
    .map(({ more, ...record }) => Object.assign(record, { type, size: sizeOf(type, record, more) }));
}

function sizeOf(type: FileType, { content, target }: { content: Content; target: string }, more: number): number {
  if (type === "symlink") return target.length;
  if (type !== "file") return 0;
  const least =
    content.kind === "inline"
      ? content.bytes.length
      : content.kind === "empty"
        ? 0
        : content.kind === "list"
          ? (content.dataBytes ?? 0) + 1
          : 1;
  return Math.min(least + more, Number.MAX_SAFE_INTEGER);
}

function arbitraryContent(): fc.Arbitrary<Content> {
  return fc.oneof(
    fc.constant({ kind: "empty" } as const),
    fc.uint8Array({ minLength: 1, maxLength: 512 }).map((bytes) => ({ kind: "inline", bytes }) as const),
    arbitraryCid("raw").map((cid) => ({ kind: "chunk", cid }) as const),
    arbitraryCid("dag-cbor").map((cid) => ({ kind: "list", cid }) as const),
    fc
      .record({ cid: arbitraryCid("dag-cbor"), dataBytes: fc.maxSafeNat().filter((bytes) => bytes < 2 ** 52) })
      .map(({ cid, dataBytes }) => ({ kind: "list", cid, dataBytes }) as const),
  );
}

function arbitraryXattrs(long: boolean | undefined): fc.Arbitrary<ReadonlyMap<string, Uint8Array>> {
  const least = long === true ? 300 : 0;
  const most = long === false ? 40 : 700;
  const value = fc.uint8Array({ minLength: least, maxLength: most });
  return fc
    .uniqueArray(fc.tuple(byteString(1, 40, "\0"), value), {
      selector: ([name]) => name,
      minLength: long === true ? 2 : 0,
      maxLength: 4,
    })
    .map((entries) => new Map(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

function arbitraryUnknown(): fc.Arbitrary<ReadonlyMap<number, Uint8Array>> {
  const plain = fc.tuple(fc.integer({ min: 29, max: 127 }), fc.uint8Array({ maxLength: 60 }));
  const linked = fc.tuple(
    fc.integer({ min: 155, max: 255 }),
    fc
      .tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 60 }))
      .map(([digest, rest]) => {
        return new Uint8Array(Buffer.concat([Buffer.of(1, 0x71, 0x1e, 32), digest, rest]));
      }),
  );
  return fc
    .uniqueArray(fc.oneof(plain, linked), { selector: ([tag]) => tag, maxLength: 4 })
    .map((entries) => new Map(entries.toSorted(([a], [b]) => a - b)));
}

/** Zero, both signs, and seconds far beyond the range of 64-bit nanoseconds. */
function time(): fc.Arbitrary<bigint> {
  return fc.oneof(
    fc.bigInt({ min: -300n, max: 300n }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }),
    fc.bigInt({ min: -(2n ** 94n), max: 2n ** 94n }),
  );
}

function u32(): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 0xffff_ffff });
}

function hex16(): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString("hex"));
}

function byteString(minLength: number, maxLength: number, without: string): fc.Arbitrary<string> {
  return fc
    .uint8Array({ minLength, maxLength })
    .map((bytes) => Buffer.from(bytes).toString("latin1"))
    .map((text) => [...text].map((char) => (without.includes(char) ? "x" : char)).join(""));
}
