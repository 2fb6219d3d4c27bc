/** A bucket's history of real, signed commits over artificial trees, which a master that checks everything accepts. */
import type { Cid, Lamport } from "../../src/base/ids.ts";
import type { Block, BlockReader } from "../../src/blocks/block-store.ts";
import type { BucketRemote, Upload } from "../../src/bucket/remote.ts";
import { deviceKeyFromSeed } from "../../src/crypto/device-key.ts";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { signCertificate } from "../../src/format/commits/certificate.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import { decodeCommit, signCommit } from "../../src/format/commits/commit.ts";
import { skipSeq } from "../../src/format/commits/commit-body.ts";
import { encodeCbor, Link } from "../../src/format/blocks/dag-cbor.ts";
import type { CborValue } from "../../src/format/blocks/dag-cbor.ts";
import { NO_FEATURES } from "../../src/format/commits/features.ts";
import { createGenesisBody, signGenesis } from "../../src/format/commits/genesis.ts";
import { DEFAULT_POLICY, encodePolicy } from "../../src/format/commits/policy.ts";
import type { Root } from "../../src/roots/root-store.ts";

/** The key of the wallet that owns all of these buckets; a master must allow it. */
export const HISTORY_KEY = new Uint8Array(32).fill(0x42);
const NOT_AFTER = 4_000_000_000;

export class SignedHistory {
  readonly genesis: Block;
  readonly first: Upload;
  readonly #device: ReturnType<typeof deviceKeyFromSeed>;
  readonly #certificate: Block;
  /** The seq and parent of every commit made here. */
  readonly #commits = new Map<Cid, { readonly seq: number; readonly parent: Cid | undefined }>();

  private constructor(genesis: Block, certificate: Block, device: ReturnType<typeof deviceKeyFromSeed>) {
    this.genesis = genesis;
    this.#certificate = certificate;
    this.#device = device;
    const upload = this.#commit(undefined, "one", []);
    this.first = { ...upload, blocks: [genesis, certificate, POLICY, NOTHING, ...upload.blocks] };
  }

  /** Histories with different seeds belong to different buckets. */
  static async create(seed = 1): Promise<SignedHistory> {
    const owner = walletSigner(HISTORY_KEY);
    const device = deviceKeyFromSeed(new Uint8Array(32).fill(0x17));
    let filled = seed;
    const fixed = { bytes: (length: number) => new Uint8Array(length).fill(++filled), fraction: () => 0 };
    const genesis = await signGenesis(createGenesisBody(owner.wallet, fixed), owner);
    const certificate = await signCertificate(device, genesis.cid, NOT_AFTER, owner);
    return new SignedHistory(genesis, certificate, device);
  }

  /**
   * The commit after `parent`, which this history made or learned of; without `parent`, a first one. Its tree links
   * `reaches`; `blocks` holds the other new blocks.
   */
  next(
    parent: Cid | undefined,
    note: string,
    reaches: readonly Block[] = [],
  ): { readonly commit: Block; readonly blocks: Block[] } {
    return this.#commit(parent, note, reaches);
  }

  /** Learns the commits of other writers up to this one. */
  async learn(blocks: BlockReader, commit: Cid): Promise<void> {
    for (let at: Cid | undefined = commit; at !== undefined && !this.#commits.has(at);) {
      const { body } = decodeCommit(await blocks.get(at));
      this.#commits.set(at, body);
      at = body.parent;
    }
  }

  #commit(parent: Cid | undefined, note: string, reaches: readonly Block[]) {
    const seq = parent === undefined ? 1 : this.#seqOf(parent) + 1;
    const tree = cborBlock(reaches.map(({ cid }) => new Link(cid)));
    const { cid, bytes } = signCommit(
      {
        genesis: this.genesis.cid,
        tree: tree.cid,
        policy: POLICY.cid,
        parent,
        skip: this.#ancestor(parent, skipSeq(seq as Lamport)),
        seq: seq as Lamport,
        writer: this.#device.writer,
        epoch: seq - 1,
        heads: new Map([[this.#device.writer, seq - 1]]),
        kept: NOTHING.cid,
        totals: { files: 0, directories: 0, bytes: 0 },
        features: NO_FEATURES,
        acl: undefined,
        timeNs: 1_780_000_000_000_000_000n,
        note,
        machine: undefined,
        unknown: {},
      },
      this.#certificate.cid,
      this.#device,
    );
    this.#commits.set(cid, { seq, parent });
    return { commit: { cid, bytes }, blocks: [tree] };
  }

  #ancestor(from: Cid | undefined, seq: number): Cid | undefined {
    if (seq === 0) return undefined;
    for (let at = from; at !== undefined; at = this.#commits.get(at)?.parent) if (this.#seqOf(at) === seq) return at;
    return undefined;
  }

  #seqOf(cid: Cid): number {
    const known = this.#commits.get(cid);
    if (known === undefined) throw new Error(`${cid} is not of this history`);
    return known.seq;
  }
}

/** Makes the bucket of this history. */
export async function madeSigned<Remote extends BucketRemote>(
  history: SignedHistory,
  open: () => Promise<Remote>,
): Promise<Remote> {
  const remote = await open();
  if (!(await remote.create(history.genesis, history.first))) throw new Error("there is a bucket already");
  return remote;
}

/** Publishes a commit that reaches these blocks on top of the current root. */
export async function publishSigned(
  history: SignedHistory,
  remote: BucketRemote,
  note: string,
  content: readonly Block[] = [],
  nodes: readonly Block[] = [],
): Promise<Root> {
  const base = await remote.readRoot();
  if (base === undefined) throw new Error("the bucket has no root");
  await using session = remote.beginUpload();
  for (const block of content) await session.putContent(block);
  const { commit, blocks } = history.next(base.commit, note, [...content, ...nodes]);
  const prepared = await session.prepare(base, { commit, blocks: [...nodes, ...blocks] });
  const outcome = await prepared.swap();
  if (outcome.kind !== "committed") throw new Error(`the swap of ${note} was ${outcome.kind}`);
  return outcome.root;
}

/** A dag-cbor block. */
export function cborBlock(value: CborValue): Block {
  const bytes = encodeCbor(value);
  return { cid: cidOf("dag-cbor", bytes), bytes };
}

const NOTHING = cborBlock([]);
const policy = encodePolicy(DEFAULT_POLICY);
const POLICY: Block = { cid: cidOf("dag-cbor", policy), bytes: policy };
