import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { recoverWallet } from "../../../src/crypto/wallet.ts";
import { decodeCertificate } from "../../../src/format/commits/certificate.ts";
import { cidOf } from "../../../src/format/blocks/cid.ts";
import { decodeCommit, verifyCommit } from "../../../src/format/commits/commit.ts";
import { decodeGenesis } from "../../../src/format/commits/genesis.ts";
import { decodePolicy } from "../../../src/format/commits/policy.ts";
import { createFormatVectors } from "../../support/format-vectors.ts";

const file = new URL("../../vectors/formats.json", import.meta.url);
if (process.env["SYNCLINE_WRITE_VECTORS"] === "1") await writeVectors();

interface Block {
  readonly bytes: string;
  readonly cid: string;
}
interface Vectors {
  readonly signed: {
    genesis: Block;
    certificate: Block;
    policy: Block;
    commits: Block[];
    wallet: string;
    writer: string;
  };
}
const frozen = JSON.parse(readFileSync(file, "utf8")) as Vectors & Record<string, unknown>;
const made = JSON.parse(JSON.stringify(await createFormatVectors())) as Record<string, unknown>;
const bytesOf = ({ bytes }: Block) => new Uint8Array(Buffer.from(bytes, "hex"));

describe("the formats in people's buckets never change", () => {
  test.each(Object.keys(frozen))("%s", (section) => {
    expect(made[section]).toEqual(frozen[section]);
  });

  test("every generated section is frozen", () => {
    expect(Object.keys(made)).toEqual(Object.keys(frozen));
  });
});

describe("the frozen signed blocks", () => {
  const { signed } = frozen;

  test("verify", () => {
    const genesis = decodeGenesis(bytesOf(signed.genesis));
    const certificate = decodeCertificate(bytesOf(signed.certificate));
    expect(genesis.body.owner).toBe(signed.wallet);
    expect(certificate.writer).toBe(signed.writer);
    for (const block of signed.commits) {
      const commit = decodeCommit(bytesOf(block));
      verifyCommit(commit, certificate);
      expect(commit.cid).toBe(block.cid);
    }
  });

  test("match their own addresses", () => {
    for (const block of [signed.genesis, signed.certificate, signed.policy, ...signed.commits]) {
      expect(cidOf("dag-cbor", bytesOf(block))).toBe(block.cid);
    }
    expect(decodePolicy(bytesOf(signed.policy)).logs).toEqual(["*.log"]);
  });

  test("are signed under another domain than a master's tokens", () => {
    const fields = [{ name: "owner", type: "address", value: Buffer.from(signed.wallet.slice(2), "hex") }] as const;
    const signature = bytesOf(signed.genesis).subarray(-65);
    const elsewhere = { domain: { name: "Fula Gateway", version: "1" }, struct: "Genesis", fields };
    expect(recoverWallet(elsewhere, signature)).not.toBe(signed.wallet);
  });
});

/** Adds sections that are not frozen yet; what is frozen stays. */
async function writeVectors(): Promise<void> {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as object) : {};
  const all = { ...(await createFormatVectors()), ...before };
  writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
}
