/**
 * A bucket: its genesis, the rules that follow from it, and its commits, all verified when read.
 *
 * Storage is never trusted: blocks are checked against their addresses, the genesis against its owner, and a commit against
 * the certificate of its device.
 */
import { SynclineError } from "../base/errors.ts";
import { type Cid, type Lamport, ROOT_ID } from "../base/ids.ts";
import type { Ports } from "../base/ports.ts";
import { nodesInto } from "../blocks/block-codec.ts";
import type { Block, BlockReader, BlockSink } from "../blocks/block-store.ts";
import { type ContentConfig, createContentConfig } from "../content/config.ts";
import type { DeviceKey } from "../crypto/device-key.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import { checkCertificate, decodeCertificate, signCertificate } from "../format/commits/certificate.ts";
import type { Certificate } from "../format/commits/certificate.ts";
import { type Commit, decodeCommit, signCommit, verifyCommit } from "../format/commits/commit.ts";
import type { CommitBody } from "../format/commits/commit-body.ts";
import { mayWrite, NO_FEATURES } from "../format/commits/features.ts";
import {
  createGenesisBody,
  decodeGenesis,
  type Genesis,
  type GenesisBody,
  signGenesis,
} from "../format/commits/genesis.ts";
import { selfKey } from "../format/files/keys.ts";
import { decodePolicy, DEFAULT_POLICY, encodePolicy, type Policy } from "../format/commits/policy.ts";
import { newRecord } from "../format/files/record.ts";
import { encodeSelf } from "../format/files/rows.ts";
import type { Root } from "../roots/root-store.ts";
import { createTreeConfig, type TreeConfig } from "../tree/boundary.ts";
import { buildTree, emptyTree } from "../tree/edit.ts";
import { NodeStore } from "../tree/node-store.ts";
import type { BucketRemote } from "./remote.ts";
import { requireDescent } from "./catch-up.ts";
import { CommitHeads } from "./commit-heads.ts";
import { foreignBucket, GUIDE, type SeenRoot, type RootWitness } from "./root-witness.ts";
import { soundGenesis } from "./sound-genesis.ts";
import type { VerifiedCommit } from "./verified-commit.ts";

/** The bucket's current root, and its commit. */
export interface CurrentRoot {
  readonly root: Root;
  readonly commit: VerifiedCommit;
}

export interface CreateOptions extends Pick<Ports, "clock" | "random"> {
  readonly owner: WalletSigner;
  readonly device: DeviceKey;
  /** Until when the device may write: seconds since 1970. */
  readonly notAfter: number;
  /** Of the root directory. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** How contents are cut. Absent: by this version's rules. */
  readonly cutting?: Partial<Pick<GenesisBody, "chunker" | "inlineBytes">> | undefined;
}

export interface OpenOptions {
  /** The bucket that is meant (`#<genesis CID>` of the address). */
  readonly pinnedGenesis?: Cid | undefined;
  /** Reads the bucket's blocks, verified; usually a cache in front of `remote.blocks`. */
  readonly blocks: BlockReader;
  /** Absent: checks them each time. */
  readonly checks?: BucketChecks;
  /** The newest root seen at the address. Absent: none is known, and none is remembered. */
  readonly witness?: RootWitness | undefined;
}

/** Decodes and checks signed blocks, which is slow. The functions throw as format/ does. */
export interface BucketChecks {
  readonly genesis: (bytes: Uint8Array) => Genesis;
  readonly certificate: (bytes: Uint8Array) => Certificate;
  readonly decodeCommit: (bytes: Uint8Array) => Commit;
  readonly commit: (commit: Commit, certificate: Certificate) => void;
}

export class Bucket {
  readonly remote: BucketRemote;
  readonly blocks: BlockReader;
  readonly genesis: Genesis;
  readonly treeConfig: TreeConfig;
  readonly contentConfig: ContentConfig;
  /** What its commits include. */
  readonly heads: CommitHeads;
  readonly #commits = new Map<Cid, VerifiedCommit>();
  #ahead: ReadonlyMap<Cid, Uint8Array> = new Map();
  readonly #certificates = new Map<Cid, Certificate>();
  readonly #checks: BucketChecks;
  readonly #witness: RootWitness | undefined;
  /** The policy that was read last: it hardly ever changes. */
  #policy: { readonly cid: Cid; readonly policy: Policy } | undefined;

  private constructor(remote: BucketRemote, genesis: Genesis, { blocks, checks = CHECKS, witness }: OpenOptions) {
    this.remote = remote;
    this.#checks = checks;
    this.#witness = witness;
    this.blocks = blocks;
    this.heads = new CommitHeads(blocks);
    this.genesis = genesis;
    this.treeConfig = treeConfigOf(genesis);
    this.contentConfig = contentConfigOf(genesis);
  }

  /**
   * Makes the bucket: genesis, empty root directory and default policy, signed by the device that `owner` certifies for it.
   * Throws `bucket_exists` and changes nothing when there is one.
   */
  static async create(
    remote: BucketRemote,
    options: CreateOptions,
  ): Promise<{ genesis: Genesis; certificate: Certificate; root: SeenRoot }> {
    const { owner, device, notAfter, clock, random } = options;
    const genesis = await signGenesis({ ...createGenesisBody(owner.wallet, random), ...options.cutting }, owner);
    const certificate = await signCertificate(device, genesis.cid, notAfter, owner);
    // The genesis is a block, too: following a commit's links finds all of them.
    const blocks = new Map([genesis, certificate].map(({ cid, bytes }) => [cid, bytes] as const));
    const sink = { put: ({ cid, bytes }: Block) => void blocks.set(cid, bytes) };
    const treeConfig = treeConfigOf(genesis);
    const nodes = new NodeStore(NOTHING_STORED, { capacityBytes: 0 });
    const body: CommitBody = {
      genesis: genesis.cid,
      tree: await rootDirectoryTree(nodes, sink, treeConfig, { ...options, timeNs: clock.nowNs() }),
      policy: nodesInto(sink)(encodePolicy(DEFAULT_POLICY)),
      parent: undefined,
      skip: undefined,
      seq: 1 as Lamport,
      writer: device.writer,
      epoch: 0,
      heads: new Map(),
      kept: await emptyTree(nodes, sink, treeConfig),
      totals: { files: 0, directories: 0, bytes: 0 },
      features: NO_FEATURES,
      acl: undefined,
      timeNs: clock.nowNs(),
      note: "",
      machine: undefined,
      unknown: {},
    };
    const commit = signCommit(body, certificate.cid, device);
    const created = await remote.create(genesis, {
      commit,
      blocks: [...blocks].map(([cid, bytes]) => ({ cid, bytes })),
    });
    if (created) return { genesis, certificate, root: { genesis: genesis.cid, root: commit.cid, seq: body.seq } };
    throw new SynclineError("bucket_exists", `A bucket already exists at ${remote.address}.`, {
      hint: "Mount it, or choose another address.",
    });
  }

  /** Throws `no_such_bucket`, `foreign_bucket` when it is not the pinned one, `feature_unknown`, `bad_signature`. */
  static async open(remote: BucketRemote, options: OpenOptions): Promise<Bucket> {
    const { checks = CHECKS } = options;
    const genesis = await soundGenesis(remote, checks.genesis);
    if (options.pinnedGenesis !== undefined && options.pinnedGenesis !== genesis.cid) {
      throw new SynclineError("foreign_bucket", `The bucket at ${remote.address} is not ${options.pinnedGenesis}.`, {
        hint: "Another bucket is at this address. Check the address, or omit the part after #.",
      });
    }
    return new Bucket(remote, genesis, options);
  }

  /**
   * The current root and its commit. Undefined when there is no root. Throws `arbiter_unreachable`, and as `commit`. Throws
   * `root_rolled_back` or `foreign_bucket` if it does not descend from the root seen at the address before.
   */
  async current(): Promise<CurrentRoot | undefined> {
    const known = this.#witness?.known();
    const root = await this.remote.readRoot();
    if (root === undefined) return undefined;
    const current = await this.at(root);
    if (known !== undefined) await this.#requireDescent(current.commit, known);
    this.noteRoot(current.commit);
    return current;
  }

  /** Remembers that this commit was the bucket's root, for the next time that the bucket is opened. */
  noteRoot({ cid, body }: VerifiedCommit): void {
    this.#witness?.note({ genesis: this.genesis.cid, root: cid, seq: body.seq });
  }

  /** A root that was read, with its commit. Throws as `commit`. */
  async at(root: Root): Promise<CurrentRoot> {
    return { root, commit: await this.commit(root.commit) };
  }

  /** As `current`. When there is no root, throws `no_such_bucket`, or `arbiter_unreachable` if the bucket has lost it. */
  async head(): Promise<CurrentRoot> {
    const current = await this.current();
    if (current !== undefined) return current;
    const lost = await this.remote.lostRoot?.();
    if (lost !== undefined) throw lost;
    throw new SynclineError("no_such_bucket", `There is no bucket at ${this.remote.address}.`, {
      hint: "Check the address, or make one with `syncline init`.",
    });
  }

  /** The error of a writer that finds no root. */
  async gone(): Promise<SynclineError> {
    const lost = await this.remote.lostRoot?.();
    if (lost !== undefined) return lost;
    return new SynclineError("no_such_bucket", `The bucket at ${this.remote.address} is gone.`, {
      hint: "Agents keep unpublished data, and publish it once the bucket is back.",
    });
  }

  /**
   * The commit, verified. Throws `block_not_found`, `bad_signature`, `device_not_certified`, `format_invalid`,
   * `feature_unknown`, and `foreign_bucket` for another bucket's commit.
   */
  async commit(cid: Cid): Promise<VerifiedCommit> {
    const known = this.#commits.get(cid);
    if (known !== undefined) return known;
    const verified = await this.verify(await this.#read(cid));
    this.remember(verified);
    return verified;
  }

  /** Reads these commits ahead, in few requests: the next calls get them from memory. Forgets those read ahead before. Never rejects. */
  async readAhead(cids: readonly Cid[]): Promise<void> {
    this.#ahead = await this.blocks
      .getMany(cids.filter((cid) => !this.#commits.has(cid)))
      // If one is missing, the others are read one by one.
      .catch(() => new Map<Cid, Uint8Array>());
  }

  /** As `commit`, but what it includes may be lost or damaged: in a bucket of many writers that is a long list. */
  async commitAlone(cid: Cid): Promise<VerifiedCommit> {
    return this.#commits.get(cid) ?? this.#verifyAlone(await this.#read(cid));
  }

  async #read(cid: Cid): Promise<Commit> {
    return this.#checks.decodeCommit(this.#ahead.get(cid) ?? (await this.blocks.get(cid)));
  }

  /** Checks a commit that was read or received. Throws as `commit`. */
  async verify(commit: Commit): Promise<VerifiedCommit> {
    const verified = await this.#verifyAlone(commit);
    await this.heads.check(verified.body);
    return verified;
  }

  /** Keeps a verified commit in memory, including one made here. */
  remember(commit: VerifiedCommit): void {
    if (this.#commits.size >= COMMITS_REMEMBERED) this.#commits.clear();
    this.#commits.set(commit.cid, commit);
  }

  async policy({ body }: VerifiedCommit): Promise<Policy> {
    if (this.#policy?.cid !== body.policy) {
      this.#policy = { cid: body.policy, policy: decodePolicy(await this.blocks.get(body.policy)) };
    }
    return body.retention === undefined ? this.#policy.policy : { ...this.#policy.policy, retention: body.retention };
  }

  async #requireDescent(head: VerifiedCommit, { genesis, root, seq }: SeenRoot): Promise<void> {
    const { address } = this.remote;
    if (genesis !== this.genesis.cid) throw foreignBucket(address, genesis, this.genesis.cid);
    if (root === head.cid) return;
    const nodes = new NodeStore(this.blocks, { capacityBytes: DESCENT_CACHE_BYTES });
    await requireDescent(this, nodes, { cid: root, seq }, head);
  }

  async #verifyAlone(commit: Commit): Promise<VerifiedCommit> {
    const { cid, body, certificate } = commit;
    if (body.genesis !== this.genesis.cid) {
      throw new SynclineError("foreign_bucket", `Commit ${cid} belongs to another bucket, ${body.genesis}.`, {
        hint: `Another bucket replaced the one at this address. Nothing is merged with it, and unpublished data is kept: ${GUIDE}`,
      });
    }
    mayWrite(body.features);
    this.#checks.commit(commit, await this.#certificate(certificate));
    return { cid, body, certificate };
  }

  async #certificate(cid: Cid): Promise<Certificate> {
    const known = this.#certificates.get(cid);
    if (known !== undefined) return known;
    const certificate = this.#checks.certificate(await this.blocks.get(cid));
    checkCertificate(certificate, { genesis: this.genesis.cid, owner: this.genesis.body.owner });
    this.#certificates.set(cid, certificate);
    return certificate;
  }
}

export function treeConfigOf(genesis: Genesis): TreeConfig {
  return createTreeConfig({ salt: genesis.body.salt, targetBytes: genesis.body.nodes.targetBytes });
}

export function contentConfigOf(genesis: Genesis): ContentConfig {
  return createContentConfig({ chunker: genesis.body.chunker, inlineLimit: genesis.body.inlineBytes });
}

const COMMITS_REMEMBERED = 1_000;
/** Room for two paths through a list of retained commits. */
const DESCENT_CACHE_BYTES = 1024 * 1024;

const CHECKS: BucketChecks = {
  genesis: decodeGenesis,
  certificate: decodeCertificate,
  decodeCommit,
  commit: verifyCommit,
};

/** A new bucket is made without reading anything. */
const NOTHING_STORED: BlockReader = {
  get: (cid) => Promise.reject(new SynclineError("block_not_found", `Block ${cid} is not stored yet.`)),
  getMany: async () => new Map(),
};

/** A tree with nothing but a root directory. */
export async function rootDirectoryTree(
  nodes: NodeStore,
  sink: BlockSink,
  config: TreeConfig,
  root: { readonly mode: number; readonly uid: number; readonly gid: number; readonly timeNs: bigint },
): Promise<Cid> {
  const record = newRecord("directory", root);
  const row = encodeSelf({ kind: "directory", record, place: undefined, subdirs: 0 }, nodesInto(sink));
  return buildTree(nodes, sink, config, [{ key: selfKey(ROOT_ID), ...row }]);
}
