import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Lamport, WriterId } from "../../../../src/base/ids.ts";
import { MAX_CBOR_DEPTH } from "../../../../src/base/limits.ts";
import { encodeCbor, decodeCbor, Link } from "../../../../src/format/blocks/dag-cbor.ts";
import type { CborValue } from "../../../../src/format/blocks/dag-cbor.ts";
import { decodeCertificate } from "../../../../src/format/commits/certificate.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import { bodyToCbor, skipSeq } from "../../../../src/format/commits/commit-body.ts";
import { decodeCommit, signCommit, verifyCommit } from "../../../../src/format/commits/commit.ts";
import { decodeGenesis } from "../../../../src/format/commits/genesis.ts";
import {
  decodeHeadsBlock,
  headsField,
  headsFieldFromCbor,
  headsFieldToCbor,
} from "../../../../src/format/commits/heads.ts";
import { isLinked } from "../../../../src/format/blocks/linked-value.ts";
import { DEFAULT_POLICY, decodePolicy, encodePolicy } from "../../../../src/format/commits/policy.ts";
import { arbitraryMutations, judge, mutate, STRICT } from "../../../support/mutate.ts";
import { arbitraryCid } from "../../../support/records.ts";
import { commitBodyAt, createSignedBucket } from "../../../support/signed-bucket.ts";

const bucket = await createSignedBucket();

describe("dag-cbor", () => {
  test("every value has one encoding and decodes to itself", () => {
    fc.assert(
      fc.property(arbitraryCbor(), (value) => {
        expect(decodeCbor(encodeCbor(value))).toEqual(value);
      }),
    );
  });

  test("damaged bytes are refused or are the canonical encoding of some value", () => {
    fc.assert(
      fc.property(arbitraryCbor(), arbitraryMutations(), (value, changes) => {
        const verdict = judge(mutate(encodeCbor(value), changes), (bytes) => encodeCbor(decodeCbor(bytes)));
        expect(STRICT).toContain(verdict);
      }),
      { numRuns: 2000 },
    );
  });

  test("arbitrary bytes are refused or are the canonical encoding of some value", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (input) => {
        expect(STRICT).toContain(judge(input, (bytes) => encodeCbor(decodeCbor(bytes))));
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ["a number in more bytes than needed", "1800"],
    ["a length in more bytes than needed", "580100"],
    ["keys out of order", "a2616201616101"],
    ["a duplicate key", "a2616101616101"],
    ["a key that is not text", "a10101"],
    ["an indefinite length", "9f01ff"],
    ["a float", "fb3ff8000000000000"],
    ["a float with an integer value", "fb3ff0000000000000"],
    ["undefined", "f7"],
    ["an unsupported tag", "c100"],
    ["a link without its leading zero", "d82a5824"],
    ["text that is not UTF-8", "61ff"],
    ["bytes after the value", "0000"],
    ["nothing", ""],
    ["a list longer than its data", "9affffffff"],
  ])("%s is refused", (_, hex) => {
    expect(() => decodeCbor(Buffer.from(hex, "hex"))).toThrow(/dag-cbor/);
  });

  test("a link with another hash is refused", () => {
    const cid = Buffer.concat([Buffer.of(0, 1, 0x55, 0x12, 32), Buffer.alloc(32)]);
    expect(() => decodeCbor(Buffer.concat([Buffer.from("d82a5825", "hex"), cid]))).toThrow(/blake3/);
  });

  test("depth and size are bounded", () => {
    const nested = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x81), Buffer.of(0)]);
    expect(() => decodeCbor(nested(MAX_CBOR_DEPTH))).not.toThrow();
    expect(() => decodeCbor(nested(MAX_CBOR_DEPTH + 1))).toThrow(/dag-cbor/);
    expect(() => decodeCbor(nested(1_000_000))).toThrow(/dag-cbor/);
    expect(() => decodeCbor(encodeCbor(new Uint8Array(100)), 100)).toThrow(/more than 100/);
  });
});

describe("signed blocks", () => {
  const commit = signCommit(commitBodyAt(bucket, 6), bucket.certificate.cid, bucket.device);

  test.each([
    ["genesis", bucket.genesis.bytes, (bytes: Uint8Array) => decodeGenesis(bytes).bytes],
    ["certificate", bucket.certificate.bytes, (bytes: Uint8Array) => decodeCertificate(bytes).bytes],
    [
      "commit",
      commit.bytes,
      (bytes: Uint8Array) => {
        const read = decodeCommit(bytes);
        verifyCommit(read, bucket.certificate);
        return read.bytes;
      },
    ],
  ])("any damage to a %s is detected", (_, sound, decode) => {
    expect(judge(sound, decode)).toBe("kept");
    fc.assert(
      fc.property(arbitraryMutations(), (changes) => {
        const damaged = mutate(sound, changes);
        fc.pre(!damaged.equals(sound));
        expect(judge(damaged, decode)).toBe("refused");
      }),
      { numRuns: 300 },
    );
  });

  test("damaged commits are refused or still canonical, whoever signed them", () => {
    fc.assert(
      fc.property(arbitraryMutations(), (changes) => {
        const verdict = judge(mutate(commit.bytes, changes), (bytes) => {
          const { body, certificate, signature } = decodeCommit(bytes);
          return encodeCbor([1, bodyToCbor(body), new Link(certificate), signature]);
        });
        expect(STRICT).toContain(verdict);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("policies", () => {
  test("damaged ones are refused or are the canonical encoding of some policy", () => {
    fc.assert(
      fc.property(arbitraryMutations(), (changes) => {
        const verdict = judge(mutate(encodePolicy(DEFAULT_POLICY), changes), (bytes) =>
          encodePolicy(decodePolicy(bytes)),
        );
        expect(STRICT).toContain(verdict);
      }),
      { numRuns: 1000 },
    );
  });

  test("the order of globs does not matter", () => {
    const shuffled = { ...DEFAULT_POLICY, text: DEFAULT_POLICY.text.toReversed() };
    expect(encodePolicy(shuffled)).toEqual(encodePolicy(DEFAULT_POLICY));
  });
});

describe("heads", () => {
  const writer = fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((id) => Buffer.from(id).toString("hex") as WriterId);
  const heads = fc.array(fc.tuple(writer, fc.maxSafeNat()), { maxLength: 80 }).map((rows) => new Map(rows));

  test("they read the same whether they fit into the commit or not", () => {
    const blocks = new Map<string, Uint8Array>();
    const link = (bytes: Uint8Array) => {
      const cid = cidOf("dag-cbor", bytes);
      blocks.set(cid, bytes);
      return cid;
    };
    fc.assert(
      fc.property(heads, (given) => {
        const field = headsFieldFromCbor(headsFieldToCbor(headsField(given, link) ?? new Map()), false);
        const read = isLinked(field) ? decodeHeadsBlock(blocks.get(field.linked) ?? new Uint8Array()) : field;
        expect(read).toEqual(new Map([...given].toSorted()));
        expect(isLinked(field)).toBe(encodeCbor(headsFieldToCbor(given)).length > 1024);
      }),
    );
  });

  test("short heads in a block of their own, and unsorted ones, are refused", () => {
    expect(() => decodeHeadsBlock(encodeCbor([]))).toThrow(/short/);
    const row = (byte: number): CborValue => [new Uint8Array(16).fill(byte), 1];
    expect(() => headsFieldFromCbor([row(2), row(1)], false)).toThrow(/sorted/);
    expect(() => headsFieldFromCbor([row(1), row(1)], false)).toThrow(/sorted/);
  });
});

describe("the position of a commit in its history", () => {
  test("skip leads to the seq with its lowest set bit cleared", () => {
    const pairs = [1, 2, 3, 4, 6, 7, 12, 2 ** 40 + 2 ** 20].map((seq) => [seq, skipSeq(seq as Lamport)]);
    expect(pairs).toEqual([
      [1, 0],
      [2, 0],
      [3, 2],
      [4, 0],
      [6, 4],
      [7, 6],
      [12, 8],
      [2 ** 40 + 2 ** 20, 2 ** 40],
    ]);
  });

  test.each([
    ["a first commit with a parent", 1, { parent: bucket.node }],
    ["a later commit without a parent", 2, { parent: undefined }],
    ["a skip link where none belongs", 4, { skip: bucket.node }],
    ["no skip link where one belongs", 6, { skip: undefined }],
    ["a skip link to the parent's seq that is not the parent", 3, { skip: cidOf("dag-cbor", Uint8Array.of(9)) }],
    ["seq 0", 0, { parent: undefined, skip: undefined }],
  ])("%s is refused", (_, seq, change) => {
    const body = { ...commitBodyAt(bucket, seq), ...change };
    expect(() => signCommit(body, bucket.certificate.cid, bucket.device)).toThrow(/In a block/);
  });
});

function arbitraryCbor(): fc.Arbitrary<CborValue> {
  return fc.letrec<{ value: CborValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant(null),
      fc.boolean(),
      fc.maxSafeInteger().map((number) => (Object.is(number, -0) ? 0 : number)),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
      fc.string({ unit: "grapheme" }),
      fc.uint8Array(),
      fc.oneof(arbitraryCid("raw"), arbitraryCid("dag-cbor")).map((cid) => new Link(cid)),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.dictionary(fc.string({ minLength: 1 }), tie("value"), { maxKeys: 4, noNullPrototype: true }),
    ),
  })).value;
}
