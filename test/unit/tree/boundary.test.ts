import { describe, expect, test } from "vitest";
import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import { NODE_SCALE, NODE_TARGET_BYTES } from "../../../src/base/limits.ts";
import { Boundary, createTreeConfig, isBelow } from "../../../src/tree/boundary.ts";
import { seededRandom } from "../../../src/simulate/seeded-random.ts";

const TARGET = NODE_TARGET_BYTES;

describe("the boundary rule", () => {
  test("is exact where doubles lack precision", () => {
    const random = seededRandom(1);
    const pick = (max: number) => Math.floor(random.fraction() * max);
    for (let turn = 0; turn < 20_000; turn++) {
      const before = pick(4 * TARGET);
      const after = before + 1 + pick(4096);
      const scale = 1 + pick(30_000);
      const threshold = (2n ** 32n * (BigInt(after) ** 4n - BigInt(before) ** 4n)) / BigInt(scale) ** 4n;
      if (threshold >= 2n ** 32n) continue;
      for (const h of [threshold - 1n, threshold, threshold + 1n]) {
        const exact = h * BigInt(scale) ** 4n < 2n ** 32n * (BigInt(after) ** 4n - BigInt(before) ** 4n);
        expect(isBelow(Number(h), scale, before, after)).toBe(exact);
      }
    }
  });

  test("is strict: an entry exactly on the threshold ends no node", () => {
    // h·2⁴ = 2³²·(2⁴ − 1⁴) for h = 2³² − 2²⁸.
    expect(isBelow(2 ** 32 - 2 ** 28, 2, 1, 2)).toBe(false);
    expect(isBelow(2 ** 32 - 2 ** 28 - 1, 2, 1, 2)).toBe(true);
  });

  test("never ends a node with one entry or below an eighth of the target, and always ends one at four targets", () => {
    const always = new Boundary(() => new Uint8Array(32), TARGET);
    const never = new Boundary(() => new Uint8Array(32).fill(255), TARGET);
    const key = Buffer.from("key");
    expect(always.closes(key, 0, 5 * TARGET, 1)).toBe(false);
    expect(always.closes(key, 1_000, TARGET / 8 - 1, 2)).toBe(false);
    expect(always.closes(key, 1_000, TARGET / 8, 2)).toBe(true);
    expect(never.closes(key, 4 * TARGET - 10, 4 * TARGET - 1, 2)).toBe(false);
    expect(never.closes(key, 4 * TARGET - 10, 4 * TARGET, 2)).toBe(true);
  });

  test("uses the first four bytes of a keyed hash as a little-endian number, with a separate key for each level", async () => {
    const salt = Buffer.from("salt");
    const config = createTreeConfig({ salt });
    const random = seededRandom(2);
    for (const level of [0, 1, 16]) {
      const rule = await config.boundary(level);
      const hashKey = nobleBlake3(Buffer.concat([salt, Buffer.of(level)]), {
        context: Buffer.from("syncline/boundary/1"),
      });
      for (let turn = 0; turn < 300; turn++) {
        const key = random.bytes(24);
        const h = Buffer.from(nobleBlake3(key, { key: hashKey })).readUInt32LE(0);
        const [before, after] = [16_000, 22_000];
        expect(rule.closes(key, before, after, 2)).toBe(isBelow(h, NODE_SCALE, before, after));
      }
    }
  });

  test("refuses targets whose nodes would exceed what decoders accept", () => {
    for (const targetBytes of [0, 255, 24 * 1024 + 1, 1000.5, Number.NaN]) {
      expect(() => createTreeConfig({ salt: Buffer.of(), targetBytes })).toThrow(
        expect.objectContaining({ code: "config_invalid" }),
      );
    }
  });
});
