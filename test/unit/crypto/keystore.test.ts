import { describe, expect, test } from "vitest";
import { systemRandom } from "../../../src/base/random.ts";
import { decryptKey, encryptKey, walletOfKeystore } from "../../../src/crypto/keystore.ts";
import { walletOfKey } from "../../../src/crypto/wallet.ts";

const CHEAP = 2 ** 4;
const key = Buffer.from("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d", "hex");

// Known answers of go-ethereum, accounts/keystore/testdata/v3_test_vector.json.
const known = {
  scrypt: {
    passphrase: "foo",
    key: "00fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35",
    crypto: {
      cipher: "aes-128-ctr",
      cipherparams: { iv: "e0c41130a323adc1446fc82f724bca2f" },
      ciphertext: "9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984",
      kdf: "scrypt",
      kdfparams: {
        dklen: 32,
        n: 2,
        r: 8,
        p: 1,
        salt: "711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63",
      },
      mac: "d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5",
    },
    version: 3,
  },
  pbkdf2: {
    passphrase: "testpassword",
    key: key.toString("hex"),
    crypto: {
      cipher: "aes-128-ctr",
      cipherparams: { iv: "6087dab2f9fdbbfaddc31a909735c1e6" },
      ciphertext: "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
      kdf: "pbkdf2",
      kdfparams: {
        c: 262144,
        dklen: 32,
        prf: "hmac-sha256",
        salt: "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
      },
      mac: "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    version: 3,
  },
};

test.each(Object.entries(known))(
  "the known %s keystore opens",
  async (_, { passphrase, key: expected, ...keystore }) => {
    expect(Buffer.from(await decryptKey(JSON.stringify(keystore), passphrase)).toString("hex")).toBe(expected);
  },
);

test("a written keystore opens again, and names its wallet without the passphrase", async () => {
  const text = await encryptKey(key, "pässword", systemRandom, CHEAP);
  expect(Buffer.from(await decryptKey(text, "pässword"))).toEqual(key);
  expect(walletOfKeystore(text)).toBe(walletOfKey(key));
  expect(text).not.toContain(key.toString("hex"));
});

test("a wrong passphrase is distinguished from a damaged file", async () => {
  const text = await encryptKey(key, "right", systemRandom, CHEAP);
  await expect(decryptKey(text, "wrong")).rejects.toMatchObject({ code: "key_locked" });
  await expect(decryptKey(text.slice(1), "right")).rejects.toMatchObject({ code: "key_invalid" });
});

test("a malformed wallet address is reported as an invalid keystore", () => {
  const text = JSON.stringify({ ...known.scrypt, address: "5" });
  expect(() => walletOfKeystore(text)).toThrow(expect.objectContaining({ code: "key_invalid" }));
});

describe("unsafe or invalid keystores are refused", () => {
  const change = (params: object, more: object = {}) => {
    const base = known.scrypt;
    return JSON.stringify({
      ...base,
      crypto: { ...base.crypto, kdfparams: { ...base.crypto.kdfparams, ...params } },
      ...more,
    });
  };
  test.each([
    ["more memory than a machine has", change({ n: 2 ** 40 })],
    ["a cost that is not a power of two", change({ n: 262_143 })],
    ["a fraction", change({ r: 1.5 })],
    ["no salt", change({ salt: "" })],
    ["a derived key of another length", change({ dklen: 16 })],
    ["an unsupported version", change({}, { version: 4 })],
    ["no crypto section", change({}, { crypto: null })],
    ["a cost beyond scrypt's limit for its block size", change({ n: 2 ** 18, r: 1, p: 8 })],
  ])("%s", async (_, text) => {
    await expect(decryptKey(text, "testpassword")).rejects.toMatchObject({ code: "key_invalid" });
  });

  test("the address of another key", async () => {
    const text = await encryptKey(key, "p", systemRandom, CHEAP);
    const lying = text.replace(walletOfKey(key).slice(2), "00".repeat(20));
    await expect(decryptKey(lying, "p")).rejects.toMatchObject({ code: "key_invalid" });
  });
});
