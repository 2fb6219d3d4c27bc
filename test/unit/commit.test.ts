import { expect, test } from "vitest";
import type { Lamport } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import { createDeviceKey } from "../../src/crypto/device-key.ts";
import { createWalletKey, walletSigner } from "../../src/crypto/wallet.ts";
import { checkCertificate, decodeCertificate, signCertificate } from "../../src/format/certificate.ts";
import { cidOf } from "../../src/format/cid.ts";
import type { CommitBody } from "../../src/format/commit-body.ts";
import { skipSeq } from "../../src/format/commit-body.ts";
import { decodeCommit, signCommit, verifyCommit } from "../../src/format/commit.ts";
import { NO_FEATURES } from "../../src/format/features.ts";
import { createGenesisBody, decodeGenesis, signGenesis } from "../../src/format/genesis.ts";
import { DEFAULT_POLICY, decodePolicy, encodePolicy } from "../../src/format/policy.ts";

const signer = walletSigner(createWalletKey(systemRandom));
const device = createDeviceKey(systemRandom);
const genesis = await signGenesis(createGenesisBody(signer.wallet, systemRandom), signer);
const certificate = await signCertificate(device, genesis.cid, 2_000_000_000, signer);
const node = cidOf("dag-cbor", Uint8Array.of(1));

function bodyAt(seq: number): CommitBody {
  const above = seq > 1 ? node : undefined;
  return {
    genesis: genesis.cid,
    tree: node,
    policy: cidOf("dag-cbor", encodePolicy(DEFAULT_POLICY)),
    parent: above,
    skip: skipSeq(seq as Lamport) === 0 ? undefined : above,
    seq: seq as Lamport,
    writer: device.writer,
    epoch: 1,
    heads: new Map([[device.writer, 1]]),
    kept: node,
    totals: { files: 1, directories: 2, bytes: 3 },
    features: NO_FEATURES,
    acl: undefined,
    timeNs: 1_780_000_000_123_456_789n,
    note: "",
    unknown: {},
  };
}

test("a commit that a certified device signed verifies from its blocks alone", () => {
  const commit = decodeCommit(signCommit(bodyAt(3), certificate.cid, device).bytes);
  const read = decodeCertificate(certificate.bytes);
  checkCertificate(read, { genesis: decodeGenesis(genesis.bytes).cid, owner: signer.wallet });
  verifyCommit(commit, read);
  expect(commit.body).toEqual(bodyAt(3));
});

test("the default policy decodes to itself", () => {
  expect(decodePolicy(encodePolicy(DEFAULT_POLICY))).toEqual(DEFAULT_POLICY);
});
