/** Commits by hand, for drills that send a master what no agent would: a bucket of one wallet, and whatever is changed about its commits. */
import { systemRandom } from "../../dist/base/random.js";
import { createDeviceKey } from "../../dist/crypto/device-key.js";
import { signCertificate } from "../../dist/format/commits/certificate.js";
import { encodeCarBlockHead, encodeCarHeader } from "../../dist/format/blocks/car.js";
import { cidOf } from "../../dist/format/blocks/cid.js";
import { skipSeq } from "../../dist/format/commits/commit-body.js";
import { signCommit } from "../../dist/format/commits/commit.js";
import { encodeCbor, Link } from "../../dist/format/blocks/dag-cbor.js";
import { NO_FEATURES } from "../../dist/format/commits/features.js";
import { createGenesisBody, signGenesis } from "../../dist/format/commits/genesis.js";

const FAR_FUTURE = 4_000_000_000;

/** A new bucket of this wallet, with a device that it certified. */
export async function createChain(wallet) {
  const genesis = await signGenesis(createGenesisBody(wallet.wallet, systemRandom), wallet);
  const own = await certify(genesis, wallet);
  /** The commit behind `parent`, or the first; its tree is one node with one chunk unless `change` names another. */
  const make = (label, parent, change = {}, { device, certificate } = own) => {
    const chunk = block("raw", Buffer.from(label));
    const tree = node(label, chunk);
    const empty = node("");
    const seq = (parent?.commit.body.seq ?? 0) + 1;
    const body = {
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
export async function certify(genesis, wallet, notAfter = FAR_FUTURE) {
  const device = createDeviceKey(systemRandom);
  return { device, certificate: await signCertificate(device, genesis.cid, notAfter, wallet) };
}

export function block(codec, bytes) {
  return { cid: cidOf(codec, bytes), bytes };
}

/** A dag-cbor block that links these. */
export function node(label, ...linked) {
  return block("dag-cbor", encodeCbor([label, ...linked.map(({ cid }) => new Link(cid))]));
}

export function car(blocks) {
  const pieces = blocks.flatMap(({ cid, bytes }) => [encodeCarBlockHead(cid, bytes.length), bytes]);
  return Buffer.concat([encodeCarHeader(), ...pieces]);
}
