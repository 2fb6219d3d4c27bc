/** Commits by hand, for drills that send a master what no agent would: a bucket of one wallet, and whatever is changed about its commits. */
import type { Cid, Lamport } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import { createDeviceKey, type DeviceKey } from "../../src/crypto/device-key.ts";
import type { WalletSigner } from "../../src/crypto/wallet.ts";
import { type Certificate, signCertificate } from "../../src/format/commits/certificate.ts";
import { encodeCarBlockHead, encodeCarHeader } from "../../src/format/blocks/car.ts";
import { cidOf, type Codec } from "../../src/format/blocks/cid.ts";
import { type CommitBody, skipSeq } from "../../src/format/commits/commit-body.ts";
import { type Commit, signCommit } from "../../src/format/commits/commit.ts";
import { encodeCbor, Link } from "../../src/format/blocks/dag-cbor.ts";
import { NO_FEATURES } from "../../src/format/commits/features.ts";
import { createGenesisBody, type Genesis, signGenesis } from "../../src/format/commits/genesis.ts";

const FAR_FUTURE = 4_000_000_000;

export interface Certified {
  readonly device: DeviceKey;
  readonly certificate: Certificate;
}

export interface Made {
  readonly commit: Commit;
  readonly chunk: Block;
  /** All that the commit needs, with its own. */
  readonly blocks: readonly Block[];
  /** The commits up to this one, oldest first. */
  readonly line: readonly Cid[];
}

export interface Chain {
  readonly genesis: Genesis;
  make(label: string, parent?: Made, change?: Partial<CommitBody>, signer?: Certified): Made;
}

/** A new bucket of this wallet, with a device that it certified. */
export async function createChain(wallet: WalletSigner): Promise<Chain> {
  const genesis = await signGenesis(createGenesisBody(wallet.wallet, systemRandom), wallet);
  const own = await certify(genesis, wallet);
  /** The commit behind `parent`, or the first; its tree is one node with one chunk unless `change` names another. */
  const make: Chain["make"] = (label, parent, change = {}, { device, certificate } = own) => {
    const chunk = block("raw", Buffer.from(label));
    const tree = node(label, chunk);
    const empty = node("");
    const seq = ((parent?.commit.body.seq ?? 0) + 1) as Lamport;
    const body: CommitBody = {
      genesis: genesis.cid,
      tree: tree.cid,
      policy: empty.cid,
      parent: parent?.commit.cid,
      skip: parent?.line[skipSeq(seq) - 1],
      seq,
      writer: device.writer,
      epoch: seq,
      heads: new Map([[device.writer, seq]]),
      kept: empty.cid,
      totals: { files: 1, directories: 0, bytes: label.length },
      features: NO_FEATURES,
      acl: undefined,
      timeNs: 0n,
      note: "",
      machine: undefined,
      unknown: {},
      ...change,
    };
    const commit = signCommit(body, certificate.cid, device);
    return {
      commit,
      chunk,
      blocks: [genesis, certificate, chunk, tree, empty, commit],
      line: [...(parent?.line ?? []), commit.cid],
    };
  };
  return { genesis, make };
}

/** A device that `wallet` certifies for this bucket. */
export async function certify(genesis: Genesis, wallet: WalletSigner, notAfter = FAR_FUTURE): Promise<Certified> {
  const device = createDeviceKey(systemRandom);
  return { device, certificate: await signCertificate(device, genesis.cid, notAfter, wallet) };
}

export function block(codec: Codec, bytes: Uint8Array): Block {
  return { cid: cidOf(codec, bytes), bytes };
}

/** A dag-cbor block that links these. */
export function node(label: string, ...linked: readonly Block[]): Block {
  return block("dag-cbor", encodeCbor([label, ...linked.map(({ cid }) => new Link(cid))]));
}

export function car(blocks: readonly Block[]): Buffer {
  const pieces = blocks.flatMap(({ cid, bytes }) => [encodeCarBlockHead(cid, bytes.length), bytes]);
  return Buffer.concat([encodeCarHeader(), ...pieces]);
}
