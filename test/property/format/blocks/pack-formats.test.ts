import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_LOOSE_PACKS, MAX_RUNS, RUN_PAGE_BYTES } from "../../../../src/base/limits.ts";
import type { Cid, PackName } from "../../../../src/base/ids.ts";
import { blake3 } from "../../../../src/crypto/hash.ts";
import { cidFromDigest } from "../../../../src/format/blocks/cid.ts";
import { decodeLease, encodeLease } from "../../../../src/format/commits/lease.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../../../../src/format/blocks/manifest.ts";
import {
  commitObjectName,
  packFromReference,
  packName,
  packReference,
} from "../../../../src/format/blocks/object-name.ts";
import {
  decodeFooter,
  encodeFooter,
  footerOffset,
  PACK_TAIL_BYTES,
  type PackRow,
  readTail,
} from "../../../../src/format/blocks/pack.ts";
import { decodeRoot, encodeRoot } from "../../../../src/format/blocks/root-object.ts";
import { decodePage, encodePage, type RunRow } from "../../../../src/format/blocks/run.ts";
import { arbitraryMutations, judge, mutate, STRICT } from "../../../support/mutate.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 300 : 5000;

const digests = fc.uint8Array({ minLength: 32, maxLength: 32 });
const commits = digests.map((digest) => cidFromDigest("dag-cbor", digest));
const packs: fc.Arbitrary<PackName> = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map(packName),
  commits.map(commitObjectName),
);
const counts = fc.integer({ min: 1, max: 2 ** 40 });

/** Blocks back to back, in an order that has nothing to do with their digests. */
const packRows: fc.Arbitrary<PackRow[]> = fc
  .uniqueArray(digests, { maxLength: 40, selector: (digest) => Buffer.from(digest).toString("hex") })
  .chain((all) => fc.tuple(fc.constant(all), fc.array(fc.nat(5000), { minLength: all.length, maxLength: all.length })))
  .map(([all, lengths]) => {
    let offset = 0;
    return all.map((digest, index) => {
      const length = (lengths[index] ?? 0) + 1;
      offset += length;
      return { digest, offset: offset - length, length, codec: 0 };
    });
  });

const manifests: fc.Arbitrary<Manifest> = fc.record({
  gcEpoch: fc.nat(),
  runs: fc.uniqueArray(
    fc.record({
      id: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id).toString("hex")),
      rows: counts,
    }),
    { maxLength: MAX_RUNS, selector: ({ id }) => id },
  ),
  loose: fc.uniqueArray(
    fc
      .record({ name: packs, rows: fc.nat(1000), manifestBytes: fc.nat(5000), blocks: fc.nat(20_000_000) })
      .map(({ name, rows, manifestBytes, blocks }) => ({
        name,
        rows,
        manifestBytes,
        size: blocks + rows * 40 + manifestBytes + 48,
      })),
    { maxLength: MAX_LOOSE_PACKS, selector: ({ name }) => name },
  ),
  dropping: fc.uniqueArray(packs, { maxLength: 5 }).map((all) => all.toSorted(byReference)),
});

const runRows: fc.Arbitrary<RunRow[]> = fc
  .uniqueArray(
    fc.record({
      digest: digests,
      pack: packs,
      offset: fc.nat(2 ** 31 - 1),
      length: fc.nat(2 ** 24 - 1),
      codec: fc.constant(0),
    }),
    { minLength: 1, maxLength: 60, selector: ({ digest }) => Buffer.from(digest).toString("hex") },
  )
  .map((rows) => rows.sort((a, b) => Buffer.compare(a.digest, b.digest)));

describe("encoded values survive decoding", () => {
  test("pack names", () => {
    fc.assert(
      fc.property(packs, (name) => {
        expect(packFromReference(packReference(name))).toBe(name);
      }),
    );
  });

  test("footers, where each digest finds its row and an unlisted one finds none", () => {
    fc.assert(
      fc.property(packRows, fc.uint8Array({ maxLength: 100 }), digests, (rows, manifest, other) => {
        const blockBytes = bytesOf(rows);
        const { bytes } = encodeFooter(rows, manifest);
        const shape = readTail(bytes, blockBytes + bytes.length);
        const decoded = decodeFooter(bytes, shape);
        expect(footerOffset(shape)).toBe(blockBytes);
        expect([...decoded.manifest]).toEqual([...manifest]);
        for (const row of rows) expect(plain(decoded.footer.find(row.digest))).toEqual(plain(row));
        expect(decoded.footer.count).toBe(rows.length);
        const listed = rows.some(({ digest }) => Buffer.compare(digest, other) === 0);
        expect(decoded.footer.find(other) === undefined).toBe(!listed);
      }),
    );
  });

  test("footers with an empty block, which masters may store: once, and under its own digest", () => {
    const full = { digest: blake3(Buffer.from("x")), offset: 0, length: 1, codec: 0 };
    const decode = (row: PackRow) => {
      const { bytes } = encodeFooter([full, row], new Uint8Array());
      return decodeFooter(bytes, readTail(bytes, 1 + bytes.length)).footer;
    };
    for (const offset of [0, 1]) {
      const empty = { digest: blake3(new Uint8Array()), offset, length: 0, codec: 0 };
      expect(plain(decode(empty).find(empty.digest))).toEqual(plain(empty));
      expect(() => decode({ ...empty, digest: blake3(Buffer.from("y")) })).toThrow("has a row without bytes");
    }
  });

  test("manifests", () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
      }),
    );
  });

  test("pages of runs, where each digest finds its row", () => {
    fc.assert(
      fc.property(runRows, (rows) => {
        const page = decodePage(encodePage(rows), 0, rows.length);
        expect([...page].map(plain)).toEqual(rows.map(plain));
        for (const row of rows) expect(page.find(row.digest)).toMatchObject({ pack: row.pack, offset: row.offset });
      }),
    );
  });

  test("roots and leases", () => {
    fc.assert(
      fc.property(commits, counts, fc.uniqueArray(packs, { maxLength: 20 }), (commit, version, names) => {
        expect(decodeRoot(encodeRoot({ commit, version }))).toEqual({ commit, version });
        expect(decodeLease(encodeLease(names))).toEqual(names.toSorted(byReference));
      }),
    );
  });
});

/** Some encoded value, and how to decode and encode it again. */
interface Specimen {
  readonly bytes: Uint8Array;
  readonly again: (bytes: Uint8Array) => Uint8Array;
}

const specimens: Record<string, fc.Arbitrary<Specimen>> = {
  roots: fc
    .record({ commit: commits, version: counts })
    .map((root) => ({ bytes: encodeRoot(root), again: (bytes) => encodeRoot(decodeRoot(bytes)) })),
  leases: fc
    .uniqueArray(packs)
    .map((names) => ({ bytes: encodeLease(names), again: (bytes) => encodeLease(decodeLease(bytes)) })),
  manifests: manifests.map((manifest) => ({
    bytes: encodeManifest(manifest),
    again: (bytes) => encodeManifest(decodeManifest(bytes)),
  })),
  "pages of runs": runRows.map((rows) => ({
    bytes: encodePage(rows),
    again: (bytes) => encodePage([...decodePage(bytes, 0, rows.length)]),
  })),
  packs: packRows.map((rows) => ({
    bytes: Buffer.concat([new Uint8Array(bytesOf(rows)), encodeFooter(rows, new Uint8Array()).bytes]),
    again: (bytes) => {
      const shape = readTail(bytes.subarray(-PACK_TAIL_BYTES), bytes.length);
      const start = footerOffset(shape);
      const { footer, manifest } = decodeFooter(bytes.subarray(start), shape);
      return Buffer.concat([bytes.subarray(0, start), encodeFooter([...footer], manifest).bytes]);
    },
  })),
};

describe("damaged bytes are refused or are a canonical encoding", () => {
  test.each(Object.keys(specimens))("%s", (kind) => {
    fc.assert(
      fc.property(specimens[kind] ?? fc.constant(undefined), arbitraryMutations(), (specimen, edits) => {
        const { bytes, again } = specimen as Specimen;
        expect(judge(bytes, again)).toBe("kept");
        expect(STRICT).toContain(judge(mutate(bytes, edits), again));
      }),
      { numRuns: RUNS },
    );
  });
});

describe("refused with the reason", () => {
  const commit = cidFromDigest("dag-cbor", new Uint8Array(32)) as Cid;

  test.each([
    ["nothing", ""],
    ["a missing newline", `syncline root 1\n${commit}\n1`],
    ["a leading zero", `syncline root 1\n${commit}\n01\n`],
    ["version 0", `syncline root 1\n${commit}\n0\n`],
    ["carriage returns", `syncline root 1\r\n${commit}\r\n1\r\n`],
    ["another format version", `syncline root 2\n${commit}\n1\n`],
    ["a content block as its commit", `syncline root 1\n${cidFromDigest("raw", new Uint8Array(32))}\n1\n`],
    ["a version above 2^53", `syncline root 1\n${commit}\n9999999999999999\n`],
  ])("a root with %s", (_, text) => {
    expect(() => decodeRoot(Buffer.from(text))).toThrow(expect.objectContaining({ code: "format_invalid" }));
  });

  test("a manifest in a later format, as an unknown feature", () => {
    const bytes = encodeManifest({ gcEpoch: 0, runs: [], loose: [], dropping: [] });
    const later = Uint8Array.from(bytes).with(1, 2);
    expect(() => decodeManifest(later)).toThrow(expect.objectContaining({ code: "feature_unknown" }));
  });

  test("a truncated page", () => {
    const page = encodePage([]);
    expect(page).toHaveLength(RUN_PAGE_BYTES);
    expect(() => decodePage(page.subarray(1), 0, 1)).toThrow(expect.objectContaining({ code: "format_invalid" }));
  });
});

function bytesOf(rows: readonly PackRow[]): number {
  return rows.reduce((sum, { length }) => sum + length, 0);
}

function plain<Row extends PackRow>(row: Row | undefined): object | undefined {
  return row && { ...row, digest: Buffer.from(row.digest).toString("hex") };
}

function byReference(a: PackName, b: PackName): number {
  return Buffer.compare(packReference(a), packReference(b));
}
