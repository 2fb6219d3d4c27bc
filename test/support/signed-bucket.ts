/** A bucket's signed blocks with fixed keys, for formats and their tests. */
import type { Cid, Lamport } from "../../src/base/ids.ts";
import { deviceKeyFromSeed } from "../../src/crypto/device-key.ts";
import type { DeviceKey } from "../../src/crypto/device-key.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import type { WalletSigner } from "../../src/crypto/wallet.ts";
import { signCertificate } from "../../src/format/commits/certificate.ts";
import type { Certificate } from "../../src/format/commits/certificate.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { skipSeq } from "../../src/format/commits/commit-body.ts";
import type { CommitBody } from "../../src/format/commits/commit-body.ts";
import { NO_FEATURES } from "../../src/format/commits/features.ts";
import { createGenesisBody, signGenesis } from "../../src/format/commits/genesis.ts";
import type { Genesis } from "../../src/format/commits/genesis.ts";
import { DEFAULT_POLICY, encodePolicy } from "../../src/format/commits/policy.ts";

export interface SignedBucket {
  readonly owner: WalletSigner;
  readonly device: DeviceKey;
  readonly genesis: Genesis;
  readonly certificate: Certificate;
  /** The CID of some dag-cbor block. */
  readonly node: Cid;
}

export async function createSignedBucket(): Promise<SignedBucket> {
  const owner = walletSigner(new Uint8Array(32).fill(0x42));
  const device = deviceKeyFromSeed(new Uint8Array(32).fill(0x17));
  let filled = 0;
  const fixed = { bytes: (length: number) => new Uint8Array(length).fill(++filled), fraction: () => 0 };
  const genesis = await signGenesis(createGenesisBody(owner.wallet, fixed), owner);
  const certificate = await signCertificate(device, genesis.cid, 2_000_000_000, owner);
  return { owner, device, genesis, certificate, node: cidOf("dag-cbor", Uint8Array.of(0x80)) };
}

export function commitBodyAt({ device, genesis, node }: SignedBucket, seq: number): CommitBody {
  return {
    genesis: genesis.cid,
    tree: node,
    policy: cidOf("dag-cbor", encodePolicy(DEFAULT_POLICY)),
    parent: seq > 1 ? node : undefined,
    skip: skipSeq(seq as Lamport) > 0 ? node : undefined,
    seq: seq as Lamport,
    writer: device.writer,
    epoch: 3,
    heads: new Map([[device.writer, 3]]),
    kept: node,
    totals: { files: 1, directories: 2, bytes: 3 },
    features: NO_FEATURES,
    acl: undefined,
    timeNs: 1_780_000_000_123_456_789n,
    note: "",
    machine: undefined,
    unknown: {},
  };
}
