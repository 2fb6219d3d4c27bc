import { ed25519 } from "@noble/curves/ed25519.js";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkDeviceKey, deviceKeyFromSeed, verifyDeviceSignature } from "../../../src/crypto/device-key.ts";
import { typedDataDigest } from "../../../src/crypto/typed-data.ts";
import { parseWallet, recoverWallet, walletOfKey, walletSigner } from "../../../src/crypto/wallet.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

describe("device keys", () => {
  // RFC 8032, section 7.1, test 2.
  const key = deviceKeyFromSeed(hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
  const signature =
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

  test("match the known answer of RFC 8032", () => {
    expect(Buffer.from(key.publicKey).toString("hex")).toBe(
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    );
    expect(Buffer.from(key.sign(Uint8Array.of(0x72))).toString("hex")).toBe(signature);
    expect(verifyDeviceSignature(key.publicKey, Uint8Array.of(0x72), hex(signature))).toBe(true);
  });

  // The points of order 1, 2, 4 and 8, in canonical and other encodings.
  test.each([
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  ])("%s is refused: it is of small order or not canonical", (point) => {
    expect(() => checkDeviceKey(hex(point))).toThrow(/full order/);
  });

  test("y = p + 3 is refused as a second encoding of a valid point", () => {
    const twice = hex(`f0${"ff".repeat(30)}7f`);
    const once = hex(`03${"00".repeat(31)}`);
    expect(() => checkDeviceKey(once)).not.toThrow();
    expect(() => checkDeviceKey(twice)).toThrow(/full order/);
  });

  test("s + L is refused as a second signature for the same message", () => {
    const order = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n;
    const bytes = Buffer.from(signature, "hex");
    const s = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString("hex")}`) + order;
    const second = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse(),
    ]);
    expect(verifyDeviceSignature(key.publicKey, Uint8Array.of(0x72), second)).toBe(false);
  });

  test("signatures of the wrong length are refused", () => {
    for (const length of [0, 63, 65]) {
      expect(verifyDeviceSignature(key.publicKey, Uint8Array.of(0x72), new Uint8Array(length))).toBe(false);
    }
  });

  test("verification agrees with an independent strict implementation", () => {
    const bit = fc.nat({ max: 64 * 8 - 1 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.option(bit), (message, flipped) => {
        const signed = key.sign(message);
        if (flipped !== null) signed[flipped >> 3] = (signed[flipped >> 3] ?? 0) ^ (1 << (flipped & 7));
        const strict = ed25519.verify(signed, message, key.publicKey, { zip215: false });
        expect(verifyDeviceSignature(key.publicKey, message, signed)).toBe(strict);
        expect(strict).toBe(flipped === null);
      }),
      { numRuns: 60 },
    );
  });
});

describe("wallets", () => {
  const data = {
    domain: { name: "Syncline", version: "1" },
    struct: "Device",
    fields: [
      { name: "wallet", type: "address", value: new Uint8Array(20) },
      { name: "notAfter", type: "uint64", value: 1 },
    ],
  } as const;
  const signer = walletSigner(new Uint8Array(32).fill(0x42));

  test("a known key has its known address", () => {
    expect(walletOfKey(new Uint8Array(32).fill(0x42))).toBe("0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025");
  });

  test("a signature recovers its wallet", async () => {
    expect(recoverWallet(data, await signer.sign(data))).toBe(signer.wallet);
  });

  test("another version of the domain gives another digest", () => {
    const later = { ...data, domain: { ...data.domain, version: "2" } };
    expect(typedDataDigest(later)).not.toEqual(typedDataDigest(data));
  });

  test.each([
    ["v of 0", (bytes: Uint8Array) => bytes.with(64, (bytes[64] ?? 0) - 27)],
    ["r of 0", (bytes: Uint8Array) => bytes.map((byte, at) => (at < 32 ? 0 : byte))],
    ["s of 0", (bytes: Uint8Array) => bytes.map((byte, at) => (at >= 32 && at < 64 ? 0 : byte))],
    ["r above the order", (bytes: Uint8Array) => bytes.map((byte, at) => (at < 32 ? 0xff : byte))],
    ["64 bytes", (bytes: Uint8Array) => bytes.subarray(0, 64)],
    ["66 bytes", (bytes: Uint8Array) => Uint8Array.from([...bytes, 0])],
  ])("a signature with %s is refused", async (_, spoil) => {
    const spoilt = spoil(await signer.sign(data));
    expect(() => recoverWallet(data, spoilt)).toThrow(/signature/);
  });

  test.each([
    ["a wallet of 19 bytes", { name: "a", type: "address", value: new Uint8Array(19) }],
    ["a negative number", { name: "a", type: "uint64", value: -1 }],
    ["a number of 65 bits", { name: "a", type: "uint64", value: 2n ** 64n }],
    ["a fraction", { name: "a", type: "uint256", value: 0.5 }],
    ["bytes in place of a number", { name: "a", type: "uint256", value: new Uint8Array(32) }],
  ] as const)("%s is not signed", (_, field) => {
    expect(() => typedDataDigest({ ...data, fields: [field] })).toThrow(/value of a/);
  });

  test("invalid keys are refused", () => {
    for (const key of [new Uint8Array(32), new Uint8Array(32).fill(0xff), new Uint8Array(31).fill(1)]) {
      expect(() => walletSigner(key)).toThrow(/not a secp256k1 private key/);
    }
  });

  test("addresses are compared regardless of case", () => {
    expect(parseWallet("0x17C5185167401eD00cF5F5b2fc97D9BBfDb7D025")).toBe(signer.wallet);
    expect(() => parseWallet("17c5185167401ed00cf5f5b2fc97d9bbfdb7d025")).toThrow(/wallet address/);
  });
});
