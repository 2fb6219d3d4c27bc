/** CARs, with another implementation as the oracle; and with bytes changed, cut and split anywhere. */
import { CarReader, CarWriter } from "@ipld/car";
import * as fc from "fast-check";
import { CID } from "multiformats/cid";
import { describe, expect, test } from "vitest";
import { hasCode } from "../../../../src/base/errors.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { MAX_BLOCK_ACCEPTED } from "../../../../src/base/limits.ts";
import type { Block } from "../../../../src/blocks/block-store.ts";
import { blake3 } from "../../../../src/crypto/hash.ts";
import {
  CarDecoder,
  decodeCar,
  encodeCarBlockHead,
  encodeCarHeader,
  type CarSection,
} from "../../../../src/format/blocks/car.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";

const block = fc
  .record({ codec: fc.constantFrom("raw", "dag-cbor"), bytes: fc.uint8Array({ maxLength: 300 }) })
  .map(({ codec, bytes }): Block => ({ cid: cidOf(codec, bytes), bytes }));
const blocks = fc.array(block, { maxLength: 12 });
const cuts = fc.array(fc.nat(4000), { maxLength: 20 });

const encode = (list: readonly Block[], roots: readonly Cid[] = []) =>
  Buffer.concat([
    encodeCarHeader(roots),
    ...list.flatMap(({ cid, bytes }) => [encodeCarBlockHead(cid, bytes.length), bytes]),
  ]);

async function* piecesOf(bytes: Uint8Array, at: readonly number[]): AsyncGenerator<Uint8Array> {
  const ends = [...at, bytes.length].filter((end) => end <= bytes.length).sort((a, b) => a - b);
  let from = 0;
  for (const end of ends) {
    yield bytes.subarray(from, end);
    from = end;
  }
}

async function decode(bytes: Uint8Array, at: readonly number[] = []): Promise<CarSection[]> {
  const sections: CarSection[] = [];
  for await (const section of decodeCar(piecesOf(bytes, at))) sections.push(section);
  return sections;
}

const blockOf = (section: CarSection): Block | undefined =>
  section.kind === "block" ? { cid: section.cid, bytes: Uint8Array.from(section.bytes) } : undefined;

describe("CARs", () => {
  test("of ours can be read by another implementation, including their roots", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, async (list) => {
        const reader = await CarReader.fromBytes(
          encode(
            list,
            list.slice(0, 2).map(({ cid }) => cid),
          ),
        );
        expect((await reader.getRoots()).map(String)).toEqual(list.slice(0, 2).map(({ cid }) => cid));
        const read: Block[] = [];
        for await (const { cid, bytes } of reader.blocks())
          read.push({ cid: cid.toString() as Cid, bytes: Uint8Array.from(bytes) });
        expect(read).toEqual(list);
      }),
    );
  });

  test("of another implementation can be read, however they are split", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, cuts, async (list, at) => {
        const { writer, out } = CarWriter.create(list.map(({ cid }) => CID.parse(cid)));
        const collected: Uint8Array[] = [];
        const collecting = (async () => {
          for await (const piece of out) collected.push(piece);
        })();
        for (const { cid, bytes } of list) await writer.put({ cid: CID.parse(cid), bytes });
        await writer.close();
        await collecting;
        expect((await decode(Buffer.concat(collected), at)).map(blockOf)).toEqual(list);
      }),
    );
  });

  test("yield the digest that each block should have", async () => {
    await fc.assert(
      fc.asyncProperty(blocks, cuts, async (list, at) => {
        for (const section of await decode(encode(list), at)) {
          const { digest, bytes } = section as CarSection & { kind: "block" };
          expect(Buffer.from(blake3(bytes)).equals(digest)).toBe(true);
        }
      }),
    );
  });

  test("cut off anywhere but between blocks fail, after yielding the complete blocks", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 5 }), fc.nat(), cuts, async (list, cut, at) => {
        const ends = list.map((_, index) => encode(list.slice(0, index)).length);
        const bytes = encode(list);
        const length = cut % bytes.length;
        fc.pre(!ends.includes(length));
        const whole: unknown[] = [];
        const reading = (async () => {
          for await (const section of decodeCar(piecesOf(bytes.subarray(0, length), at))) whole.push(blockOf(section));
        })();
        await expect(reading).rejects.toMatchObject({ code: "format_invalid" });
        expect(whole).toEqual(list.slice(0, whole.length));
        expect(whole.length).toBe(Math.max(0, ends.filter((end) => end <= length).length - 1));
      }),
    );
  });

  test("with changed bytes are read or refused, and alike however they are split", async () => {
    const outcome = async (bytes: Uint8Array, at: readonly number[]) => {
      try {
        return (await decode(bytes, at)).map((section) => [section.kind, section.cid, blockOf(section)?.bytes]);
      } catch (error) {
        if (!hasCode(error, "format_invalid")) throw error;
        return error.message;
      }
    };
    await fc.assert(
      fc.asyncProperty(
        blocks,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        cuts,
        async (list, changes, at) => {
          const bytes = encode(list);
          for (const [where, value] of changes) bytes[where % bytes.length] = value;
          expect(await outcome(bytes, at)).toEqual(await outcome(bytes, []));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a CAR is refused", () => {
  const header = Buffer.from(encodeCarHeader());
  test.each([
    ["when it is empty", Buffer.alloc(0)],
    ["of version 2", Buffer.from("0aa16776657273696f6e02", "hex")],
    ["without roots", Buffer.from("0aa16776657273696f6e01", "hex")],
    ["whose header is not a map", Buffer.from("0101", "hex")],
    ["whose header is not CBOR", Buffer.from("02ffff", "hex")],
    ["whose header is empty", Buffer.from("00", "hex")],
    ["whose header is 1 MiB", Buffer.from("808040", "hex")],
    ["with an empty section", Buffer.concat([header, Buffer.from([0])])],
    ["with an overlong length", Buffer.concat([header, Buffer.from("a400", "hex")])],
    ["with a length of nine bytes", Buffer.concat([header, Buffer.alloc(9, 0xff)])],
    ["with a length above 2^53", Buffer.concat([header, Buffer.from("ffffffffffffff7f", "hex")])],
  ])("%s", async (_, bytes) => {
    await expect(decode(bytes)).rejects.toMatchObject({ code: "format_invalid" });
  });
});

describe("unsupported blocks", () => {
  const good = { cid: cidOf("raw", Buffer.from("good")), bytes: Buffer.from("good") };
  const section = (content: Uint8Array) => {
    const whole = encodeCarBlockHead(good.cid, content.length - 36);
    return Buffer.concat([whole.subarray(0, whole.length - 36), content]);
  };
  const sha256 = CID.parse("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
  const v0 = CID.parse("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n");
  test.each([
    ["under sha2-256", Buffer.concat([sha256.bytes, Buffer.alloc(500)]), sha256.toString()],
    ["under a CIDv0", Buffer.concat([v0.bytes, Buffer.from("x")]), v0.toString()],
    ["under an invalid CID", Buffer.alloc(40, 0xff), undefined],
    ["under a truncated CID", Buffer.from([1, 0x55, 0x1e]), undefined],
  ])("%s are named and skipped", async (_, content, cid) => {
    const car = Buffer.concat([encodeCarHeader(), section(content), encode([good]).subarray(encodeCarHeader().length)]);
    for (const at of [[], Array.from({ length: car.length }, (_, index) => index)]) {
      expect((await decode(car, at)).map((found) => [found.kind, found.cid])).toEqual([
        ["foreign", cid],
        ["block", good.cid],
      ]);
    }
  });

  test("of more than 4 MiB are skipped without being held in memory, and one of 4 MiB is read", () => {
    const decoder = new CarDecoder();
    const push = (bytes: Uint8Array) => [...decoder.push(bytes)];
    push(encodeCarHeader());
    expect(push(encodeCarBlockHead(good.cid, MAX_BLOCK_ACCEPTED + 1))).toEqual([]);
    const before = process.memoryUsage().arrayBuffers;
    expect(push(Buffer.alloc(MAX_BLOCK_ACCEPTED))).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * MAX_BLOCK_ACCEPTED);
    expect(push(Buffer.alloc(1))).toEqual([{ kind: "oversized", cid: good.cid }]);
    expect(push(encodeCarBlockHead(good.cid, MAX_BLOCK_ACCEPTED))).toEqual([
      { kind: "coming", length: MAX_BLOCK_ACCEPTED },
    ]);
    expect(push(Buffer.alloc(MAX_BLOCK_ACCEPTED))).toMatchObject([{ kind: "block", cid: good.cid }]);
    decoder.end();
  });

  test("a length of 2^52 costs nothing until the stream ends", () => {
    const decoder = new CarDecoder();
    expect([...decoder.push(encodeCarHeader())]).toEqual([]);
    expect([...decoder.push(encodeCarBlockHead(good.cid, 2 ** 52))]).toEqual([]);
    expect(() => decoder.end()).toThrow("is truncated");
  });
});
