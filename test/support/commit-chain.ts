/** A bucket's commits without a bucket: legal ones, with a test's changes. Trees are plain blocks with links. */
import type { Cid, Lamport } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { createDeviceKey } from "../../src/crypto/device-key.ts";
import type { DeviceKey } from "../../src/crypto/device-key.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import type { WalletSigner } from "../../src/crypto/wallet.ts";
import { signCertificate } from "../../src/format/commits/certificate.ts";
import type { Certificate } from "../../src/format/commits/certificate.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { signCommit } from "../../src/format/commits/commit.ts";
import type { Commit } from "../../src/format/commits/commit.ts";
import type { CommitBody } from "../../src/format/commits/commit-body.ts";
import { skipSeq } from "../../src/format/commits/commit-body.ts";
import type { CborValue } from "../../src/format/blocks/dag-cbor.ts";
import { encodeCbor, Link } from "../../src/format/blocks/dag-cbor.ts";
import { NO_FEATURES } from "../../src/format/commits/features.ts";
import { createGenesisBody, signGenesis } from "../../src/format/commits/genesis.ts";
import type { Genesis } from "../../src/format/commits/genesis.ts";
import { DEFAULT_POLICY, encodePolicy } from "../../src/format/commits/policy.ts";
import { seededRandom } from "./test-bucket.ts";

/** Later than every clock that tests use. */
export const FAR_FUTURE = 4_000_000_000;

export interface Signer {
  readonly device: DeviceKey;
  readonly certificate: Certificate;
}

/** A commit, the blocks that it needs beyond its parent's, and the addresses of its ancestors and itself by seq − 1. */
export interface MadeCommit {
  readonly commit: Commit;
  readonly blocks: readonly Block[];
  readonly line: readonly Cid[];
}

export class CommitChain {
  readonly owner: WalletSigner;
  readonly genesis: Genesis;
  readonly signer: Signer;

  private constructor(owner: WalletSigner, genesis: Genesis, signer: Signer) {
    this.owner = owner;
    this.genesis = genesis;
    this.signer = signer;
  }

  /** The bucket `seed` of the wallet whose key is 32 times `ownerByte`. */
  static async create(seed = 1, ownerByte = 7): Promise<CommitChain> {
    const owner = walletSigner(new Uint8Array(32).fill(ownerByte));
    const genesis = await signGenesis(createGenesisBody(owner.wallet, seededRandom(seed)), owner);
    return new CommitChain(owner, genesis, await certify(seed, genesis.cid, owner));
  }

  /** The commit that follows `parent`, or the first, with a file that holds `label`. */
  make(
    label: string,
    parent: MadeCommit | undefined,
    change: Partial<CommitBody> = {},
    signer = this.signer,
  ): MadeCommit {
    const chunk = blockOf("raw", Buffer.from(label));
    const tree = nodeBlock(label, chunk);
    const kept = nodeBlock("kept", ...(parent === undefined ? [] : [parent.commit]));
    const policy = blockOf("dag-cbor", encodePolicy(DEFAULT_POLICY));
    const seq = ((parent?.commit.body.seq ?? 0) + 1) as Lamport;
    const body: CommitBody = {
      genesis: this.genesis.cid,
      tree: tree.cid,
      policy: policy.cid,
      parent: parent?.commit.cid,
      skip: parent?.line[skipSeq(seq) - 1],
      seq,
      writer: signer.device.writer,
      epoch: seq,
      heads: new Map([[signer.device.writer, seq]]),
      kept: kept.cid,
      totals: { files: 1, directories: 0, bytes: label.length },
      features: NO_FEATURES,
      acl: undefined,
      timeNs: 1_700_000_000_000_000_000n,
      note: "",
      machine: undefined,
      unknown: {},
      ...change,
    };
    const commit = signCommit(body, signer.certificate.cid, signer.device);
    const blocks = [this.genesis, signer.certificate, chunk, tree, kept, policy, commit];
    return {
      commit,
      blocks: blocks.map(({ cid, bytes }) => ({ cid, bytes })),
      line: [...(parent?.line ?? []), commit.cid],
    };
  }
}

/** A device that `wallet` certifies for the bucket of this genesis. */
export async function certify(
  seed: number,
  genesis: Cid,
  wallet: WalletSigner,
  notAfter: number = FAR_FUTURE,
): Promise<Signer> {
  const device = createDeviceKey(seededRandom(seed + 1_000));
  return { device, certificate: await signCertificate(device, genesis, notAfter, wallet) };
}

/** A dag-cbor block that links these blocks. */
export function nodeBlock(label: string, ...linked: readonly { readonly cid: Cid }[]): Block {
  const value: CborValue = [label, ...linked.map(({ cid }) => new Link(cid))];
  return blockOf("dag-cbor", encodeCbor(value));
}

export function blockOf(codec: "dag-cbor" | "raw", bytes: Uint8Array): Block {
  return { cid: cidOf(codec, bytes), bytes };
}
