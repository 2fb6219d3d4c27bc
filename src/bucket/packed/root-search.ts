/**
 * Searches for the newest commit of a bucket whose root is lost or damaged: every root's commit is in the store, signed, under
 * a name that tells its address. Changes nothing; root-return.ts puts a root back.
 *
 * Commit objects also stay behind from swaps that others won. Those are older than the newest root, or as old: then several
 * may be the newest, and a person chooses. A commit whose swap was never sent follows the newest root, and may be taken for it.
 */
import { hasCode, isDamage, SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import type { Ports } from "../../base/ports.ts";
import { unless } from "../../base/unless.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { blockNotFound } from "../../blocks/not-found.ts";
import { cidFromDigest, digestOf } from "../../format/blocks/cid.ts";
import {
  COMMIT_FOLDER,
  commitObjectName,
  GENESIS_OBJECT,
  packReference,
  parsePackName,
  ROOT_OBJECT,
} from "../../format/blocks/object-name.ts";
import { decodeRoot, encodeRoot } from "../../format/blocks/root-object.ts";
import { decodeCommit, type Commit } from "../../format/commits/commit.ts";
import { decodeGenesis, type Genesis } from "../../format/commits/genesis.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { Bucket } from "../bucket.ts";
import { descends } from "../history.ts";
import type { SeenRoot } from "../root-witness.ts";
import { isWrongCommit, type VerifiedCommit } from "../verified-commit.ts";
import { BlockCopies } from "./block-copies.ts";
import { auditObjects } from "./object-audit.ts";
import { PackedRemote } from "./packed-remote.ts";
import { storeAsIf } from "./store-as-if.ts";

export interface RootSearchOptions extends Pick<Ports, "clock" | "random"> {
  /** The bucket that is meant; undefined: the one whose genesis is in the store. */
  readonly pinnedGenesis?: Cid | undefined;
  /** The newest root that this machine has seen. */
  readonly seen?: SeenRoot | undefined;
  /** Caches of this machine, for the commit that the root names. */
  readonly local?: BlockReader | undefined;
}

/** What is wrong with the root. */
export interface LostRoot {
  /** For people. */
  readonly what: string;
  /** Its object, as far as there is one. */
  readonly object: { readonly bytes: Uint8Array; readonly token: string } | undefined;
  /** It can be read, but no copy of its commit is left: others are older, or the address is damaged. */
  readonly names?: Cid;
}

/** A commit that may have been the newest root. */
export interface RootCandidate {
  readonly commit: VerifiedCommit;
  /** Whether it is or follows the root that this machine has seen; undefined: it has seen none. */
  readonly follows: "yes" | "no" | "unknown" | undefined;
  /** Whether all packs are there that it maps. */
  readonly isWhole: boolean;
}

export interface RootSearch {
  readonly lost: LostRoot;
  readonly genesis: Genesis;
  /** Newest first. Empty: the store has no signed commit of this bucket. */
  readonly candidates: readonly RootCandidate[];
  /** The one that needs no person's choice. */
  readonly newest: RootCandidate | undefined;
  /** Commits that only a newer version can read. Any of them may be the newest root. */
  readonly newer: readonly Cid[];
  /** All signed commits of the bucket that have an object of their own. */
  readonly commits: ReadonlyMap<Cid, VerifiedCommit>;
}

/**
 * Undefined if the root can be read, or there is no bucket. Throws `store_corrupt` if the genesis is lost and cannot be
 * told from the commits, `foreign_bucket` if it is not the pinned one, and as reading the store does.
 */
export async function searchRoot(at: ObjectStore, options: RootSearchOptions): Promise<RootSearch | undefined> {
  // What lies on a bad sector is damaged, and can be replaced.
  const store = at.salvaging?.(() => {}) ?? at;
  const copies = new BlockCopies(store, options.local);
  const lost = await lostRootIn(store, copies);
  if (lost === undefined) return undefined;
  if (copies.footers.size === 0) await copies.readFooters();
  const { found, newer } = await commitsIn(store, copies);
  if (found.length === 0 && (await store.head(GENESIS_OBJECT)) === undefined) return undefined;
  const genesis = await genesisOf(store, copies, found, options);
  const bucket = await openedAs(store, copies, genesis, options);
  const commits = new Map<Cid, VerifiedCommit>();
  const dates = new Map<Cid, number>();
  for (const { commit, modifiedMs } of found) {
    const verified = await unlessWrong(
      () => bucket.verify(commit),
      () => newer.push(commit.cid),
    );
    if (verified === undefined) continue;
    commits.set(commit.cid, verified);
    dates.set(commit.cid, modifiedMs);
  }
  const choice = await new Choice(store, bucket, lost, { commits, dates }, options.seen).make();
  const newest = newer.length === 0 ? choice.newest : undefined;
  return { lost, genesis, candidates: choice.candidates, newest, newer, commits };
}

/** Undefined if the root can be read and its commit is there. */
async function lostRootIn(store: ObjectStore, copies: BlockCopies): Promise<LostRoot | undefined> {
  // A store says that of numbered roots that are gone.
  const isLost = (error: unknown) => hasCode(error, "arbiter_unreachable") || isDamage(error);
  const object = await unless(isLost, () => store.get(ROOT_OBJECT));
  if (object === undefined) return { what: "is missing", object };
  const { bytes } = object;
  const pointer = await unlessDamaged(async () => decodeRoot(bytes));
  if (pointer === undefined) return { what: "is damaged", object };
  if ((await store.head(commitObjectName(pointer.commit))) !== undefined) return undefined;
  await copies.readFooters();
  if ((await copies.find(digestOf(pointer.commit))) !== undefined) return undefined;
  return { what: `names the commit ${pointer.commit}, of which there is no copy`, object, names: pointer.commit };
}

interface StoredCommit {
  readonly commit: Commit;
  /** The store's date of its object. */
  readonly modifiedMs: number;
}

/** Those with an object of their own; not checked yet. */
async function commitsIn(store: ObjectStore, copies: BlockCopies): Promise<{ found: StoredCommit[]; newer: Cid[] }> {
  const found: StoredCommit[] = [];
  const newer: Cid[] = [];
  for await (const { name, modifiedMs } of store.list(COMMIT_FOLDER)) {
    const pack = parsePackName(name);
    if (pack === undefined) continue;
    const digest = packReference(pack).subarray(1);
    const bytes = await copies.find(digest);
    const decode = async () => bytes && decodeCommit(bytes);
    const commit = await unlessWrong(decode, () => newer.push(cidFromDigest("dag-cbor", digest)));
    if (commit !== undefined) found.push({ commit, modifiedMs });
  }
  return { found, newer };
}

async function genesisOf(
  store: ObjectStore,
  copies: BlockCopies,
  found: readonly StoredCommit[],
  { pinnedGenesis, seen }: RootSearchOptions,
): Promise<Genesis> {
  const object = await store.get(GENESIS_OBJECT);
  const stored = object && (await unlessWrong(async () => decodeGenesis(object.bytes)));
  if (stored !== undefined) return stored;
  const known = pinnedGenesis ?? seen?.genesis;
  const named = known === undefined ? new Set(found.map(({ commit }) => commit.body.genesis)) : new Set([known]);
  const [cid] = named;
  const bytes = cid && named.size === 1 ? await copies.find(digestOf(cid)) : undefined;
  if (bytes !== undefined) return decodeGenesis(bytes);
  throw new SynclineError("store_corrupt", `${store.address} has lost its genesis and its root.`, {
    hint: "Put the object `genesis` back, or add #GENESIS to the address.",
  });
}

/** The bucket, to check commits: it has no root. */
function openedAs(
  store: ObjectStore,
  copies: BlockCopies,
  genesis: Genesis,
  { clock, random, pinnedGenesis }: RootSearchOptions,
): Promise<Bucket> {
  const remote = new PackedRemote(storeAsIf(store, new Map([[GENESIS_OBJECT, genesis.bytes]])), { clock, random });
  const get = async (cid: Cid) => {
    const bytes = await copies.find(digestOf(cid));
    if (bytes === undefined) throw blockNotFound(cid);
    return bytes;
  };
  const getMany = async (cids: readonly Cid[]) => {
    const blocks = new Map<Cid, Uint8Array>();
    for (const cid of cids) blocks.set(cid, await get(cid));
    return blocks;
  };
  return Bucket.open(remote, { blocks: { get, getMany }, pinnedGenesis });
}

interface Known {
  readonly commits: ReadonlyMap<Cid, VerifiedCommit>;
  readonly dates: ReadonlyMap<Cid, number>;
}

class Choice {
  readonly #store: ObjectStore;
  readonly #bucket: Bucket;
  readonly #lost: LostRoot;
  readonly #commits: ReadonlyMap<Cid, VerifiedCommit>;
  readonly #dates: ReadonlyMap<Cid, number>;
  readonly #seen: SeenRoot | undefined;

  constructor(store: ObjectStore, bucket: Bucket, lost: LostRoot, known: Known, seen: SeenRoot | undefined) {
    this.#store = store;
    this.#bucket = bucket;
    this.#lost = lost;
    this.#commits = known.commits;
    this.#dates = known.dates;
    this.#seen = seen;
  }

  async make(): Promise<Pick<RootSearch, "candidates" | "newest">> {
    const named = [...this.#commits.values()].find(({ cid }) => isAlmost(this.#lost.object?.bytes, cid));
    if (named !== undefined) {
      const candidate = await this.#candidate(named, await this.#follows(named));
      return { candidates: [candidate], newest: candidate };
    }
    const ends = await this.#ends();
    const following = ends.filter(({ follows }) => follows === "yes");
    const pool = following.length > 0 ? following : ends;
    const [leader] = pool;
    if (leader === undefined) return { candidates: [], newest: undefined };
    const rivals = pool.slice(1).filter(({ commit }) => this.#mayBeNewer(commit, leader.commit));
    const candidates: RootCandidate[] = [];
    for (const { commit, follows } of [leader, ...rivals]) candidates.push(await this.#candidate(commit, follows));
    const [first, ...others] = candidates;
    const before = first?.isWhole === false ? this.#parentOf(first.commit) : undefined;
    if (before !== undefined) candidates.push(await this.#candidate(before, await this.#follows(before)));
    const isAlone = first?.isWhole === true && !others.some(({ isWhole }) => isWhole);
    const isKnown = this.#seen === undefined || following.length > 0;
    return { candidates, newest: isAlone && isKnown && this.#lost.names === undefined ? first : undefined };
  }

  /** The commits that no other is built on, newest first. */
  async #ends() {
    const before = new Set<Cid | undefined>();
    for (const { body } of this.#commits.values()) {
      before.add(body.parent);
      for (const cid of body.recovered ?? []) before.add(cid);
    }
    const ends: Pick<RootCandidate, "commit" | "follows">[] = [];
    for (const commit of this.#commits.values()) {
      if (!before.has(commit.cid)) ends.push({ commit, follows: await this.#follows(commit) });
    }
    return ends.sort(
      (a, b) => b.commit.body.seq - a.commit.body.seq || this.#dateOf(b.commit) - this.#dateOf(a.commit),
    );
  }

  /** Whether the commit may be the newest, too: it has the same seq, or was stored later, as after an older root was put back. */
  #mayBeNewer(commit: VerifiedCommit, leader: VerifiedCommit): boolean {
    return commit.body.seq === leader.body.seq || this.#dateOf(commit) > this.#dateOf(leader);
  }

  async #candidate(commit: VerifiedCommit, follows: RootCandidate["follows"]): Promise<RootCandidate> {
    const root = encodeRoot({ commit: commit.cid, version: 1 });
    const store = storeAsIf(this.#store, new Map([[ROOT_OBJECT, root]]));
    const { damage } = await auditObjects({ store }, { blocks: false });
    return { commit, follows, isWhole: !damage.some(({ object }) => PLACEMENT.test(object)) };
  }

  async #follows(commit: VerifiedCommit): Promise<RootCandidate["follows"]> {
    if (this.#seen === undefined) return undefined;
    const { genesis, root, seq } = this.#seen;
    if (genesis !== this.#bucket.genesis.cid) return "no";
    return (await unlessWrong(() => descends(this.#bucket, commit, { cid: root, seq }))) ?? "unknown";
  }

  #parentOf({ body }: VerifiedCommit): VerifiedCommit | undefined {
    return body.parent === undefined ? undefined : this.#commits.get(body.parent);
  }

  #dateOf({ cid }: VerifiedCommit): number {
    return this.#dates.get(cid) ?? 0;
  }
}

const PLACEMENT = /^(commit|pack|run)\//;

/** Whether a damaged root object named this commit: all but a few bytes of the address are still there. */
function isAlmost(bytes: Uint8Array | undefined, commit: Cid): boolean {
  if (bytes === undefined) return false;
  const right = encodeRoot({ commit, version: 1 });
  const length = right.length - VERSION_BYTES;
  let wrong = 0;
  for (let at = 0; at < length; at++) wrong += Number(bytes[at] !== right[at]);
  return wrong <= MOST_WRONG;
}

/** The length of "1" and a newline, which end an encoded root. */
const VERSION_BYTES = 2;
/** Addresses differ in some fifty bytes. */
const MOST_WRONG = 16;

/** `onNewer` is called for what only a newer version can read. */
async function unlessWrong<Value>(work: () => Promise<Value>, onNewer?: () => void): Promise<Value | undefined> {
  const isExpected = (error: unknown) => {
    if (hasCode(error, "feature_unknown")) onNewer?.();
    return isWrongCommit(error);
  };
  return unless(isExpected, work);
}
