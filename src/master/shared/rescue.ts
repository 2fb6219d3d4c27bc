/**
 * Finds the commits in one owner's packs when neither roots nor a log are left: signed ones, by bucket, and which of them
 * have everything that they reach. Rows do not say what a block is, so each small block is tried.
 */
import { unless, unlessSync } from "../../base/unless.ts";
import { hasCode } from "../../base/errors.ts";
import type { Budget } from "../../base/budget.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import type { TimeSlice } from "../../base/time-slice.ts";
import { isGone } from "../../blocks/not-found.ts";
import { groupBy } from "../../base/collections.ts";
import { cidFromDigest, digestOf } from "../../format/blocks/cid.ts";
import { type Certificate, checkCertificate, decodeCertificate } from "../../format/commits/certificate.ts";
import type { CommitBody } from "../../format/commits/commit-body.ts";
import {
  type Commit,
  decodeCommit,
  looksLikeCommit,
  MAX_COMMIT_BYTES,
  verifyCommit,
} from "../../format/commits/commit.ts";
import { decodeGenesis } from "../../format/commits/genesis.ts";
import type { ObjectStore } from "../../objects/object-store.ts";
import { isBlockOf } from "../../packs/block-check.ts";
import { partOf, planReads } from "../../packs/ranged-reads.ts";
import { checkComplete } from "../roots/completeness.ts";
import { objectOf } from "./pack-objects.ts";
import type { SharedBlocks } from "./shared-blocks.ts";
import { unlessGone } from "./shared-reader.ts";

export interface RescueOptions {
  readonly owner: Wallet;
  /** Read through a temporary log that names all packs in the store. */
  readonly blocks: SharedBlocks;
  readonly objects: ObjectStore;
  readonly pace: TimeSlice;
  readonly memory: Budget;
  /** Called with the bytes of each pack that was searched. */
  readonly onBytes: (bytes: number) => void;
}

export interface FoundCommit extends Pick<CommitBody, "genesis" | "seq" | "parent" | "timeNs" | "machine"> {
  readonly cid: Cid;
  /** Lost roots that it or one before it merged in again. */
  readonly recovered: readonly Cid[];
}

export interface FoundBucket {
  readonly genesis: Cid;
  /** All signed commits. */
  readonly commits: ReadonlySet<Cid>;
  /** Commits without a successor, newest first, and those in `choices`. */
  readonly listed: readonly (FoundCommit & { readonly complete: boolean })[];
  /** The newest complete commits: several if they have one seq. */
  readonly choices: readonly Cid[];
}

export interface RescuedOwner {
  readonly buckets: readonly FoundBucket[];
  /** Commits whose signature, certificate or genesis is missing or wrong. */
  readonly unsigned: number;
}

/** Throws the store's errors, except for missing or damaged blocks. */
export async function rescueOwner(options: RescueOptions): Promise<RescuedOwner> {
  const check = new SignatureCheck(options);
  const commits: FoundCommit[] = [];
  let unsigned = 0;
  const seen = new Set<Cid>();
  for await (const commit of commitsIn(options)) {
    if (seen.has(commit.cid)) continue;
    seen.add(commit.cid);
    const { genesis, seq, parent, recovered = [], timeNs, machine } = commit.body;
    if (await check.holds(commit)) commits.push({ cid: commit.cid, genesis, seq, parent, recovered, timeNs, machine });
    else unsigned++;
  }
  const buckets: FoundBucket[] = [];
  for (const [genesis, found] of groupBy(commits, (commit) => commit.genesis)) {
    buckets.push(await bucketOf(options, genesis, found));
  }
  return { buckets, unsigned };
}

async function* commitsIn({ blocks, objects, pace, onBytes }: RescueOptions): AsyncIterable<Commit> {
  for (const { pack, bytes: size } of blocks.cache.packs()) {
    const rows = blocks.cache
      .rowsOf(pack)
      .filter(({ length }) => length >= MIN_COMMIT_BYTES && length <= MAX_COMMIT_BYTES);
    for (const read of planReads(rows.map((row) => [cidFromDigest("dag-cbor", row.digest), row] as const))) {
      await pace.breathe();
      const bytes = (await unlessGone(() => objects.getRanges(objectOf(pack), [read])))?.[0];
      for (const [, row] of bytes === undefined ? [] : read.blocks) {
        // A copy: a view would keep the whole read in memory.
        const block = partOf(read, bytes ?? new Uint8Array(), row);
        if (!looksLikeCommit(block) || !isBlockOf(row, block)) continue;
        const commit = unlessSync(["format_invalid", "feature_unknown"], () => decodeCommit(new Uint8Array(block)));
        if (commit !== undefined) yield commit;
      }
    }
    onBytes(size);
  }
}

/** Signature, certificate and links alone have more. */
const MIN_COMMIT_BYTES = 128;

/** As a swap's check (roots/swap-check.ts), without the certificate's expiry: it counts at swaps only. */
class SignatureCheck {
  readonly #options: RescueOptions;
  readonly #geneses = new Map<Cid, boolean>();
  readonly #certificates = new Map<Cid, Certificate | undefined>();

  constructor(options: RescueOptions) {
    this.#options = options;
  }

  async holds(commit: Commit): Promise<boolean> {
    const { owner, blocks } = this.#options;
    const { genesis } = commit.body;
    if (!this.#geneses.has(genesis)) {
      const own = async () => decodeGenesis(await blocks.get(genesis)).body.owner === owner;
      this.#geneses.set(genesis, (await unlessInvalid(own)) === true);
    }
    if (this.#geneses.get(genesis) !== true) return false;
    const { certificate: cid } = commit;
    if (!this.#certificates.has(cid)) {
      this.#certificates.set(cid, await unlessInvalid(async () => decodeCertificate(await blocks.get(cid))));
    }
    const certificate = this.#certificates.get(cid);
    if (certificate === undefined) return false;
    const checked = await unlessInvalid(async () => {
      checkCertificate(certificate, { genesis, owner });
      verifyCommit(commit, certificate);
      return true;
    });
    return checked === true;
  }
}

const INVALID = ["format_invalid", "feature_unknown", "bad_signature", "key_invalid", "device_not_certified"] as const;

function unlessInvalid<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
  return unless((error) => isGone(error) || hasCode(error, ...INVALID), work);
}

async function bucketOf(options: RescueOptions, genesis: Cid, found: readonly FoundCommit[]): Promise<FoundBucket> {
  const parents = new Set(found.map(({ parent }) => parent));
  const merged = recoveredIn(found);
  const rank = ({ cid }: FoundCommit) => Number(merged.has(cid));
  const newestFirst = found.toSorted((a, b) => rank(a) - rank(b) || b.seq - a.seq || Number(b.timeNs - a.timeNs));
  const known = new Map<Cid, boolean>();
  const isComplete = async (cid: Cid) => {
    const complete = known.get(cid) ?? (await isWhole(options, cid));
    known.set(cid, complete);
    return complete;
  };
  const choices: FoundCommit[] = [];
  for (const commit of newestFirst) {
    const [first] = choices;
    if (first !== undefined && (commit.seq < first.seq || rank(commit) > rank(first))) break;
    if (await isComplete(commit.cid)) choices.push(commit);
  }
  const listed = [];
  for (const commit of newestFirst) {
    if (parents.has(commit.cid) && !choices.includes(commit)) continue;
    listed.push({ ...commit, complete: await isComplete(commit.cid) });
  }
  const commits = new Set(found.map(({ cid }) => cid));
  return { genesis, commits, listed, choices: choices.map(({ cid }) => cid) };
}

/** Lost roots that others merged in again, with what only they descend from. */
function recoveredIn(found: readonly FoundCommit[]): Set<Cid> {
  const byCid = new Map(found.map((commit) => [commit.cid, commit]));
  const merged = new Set<Cid>();
  for (const commit of found) {
    const before = commit.parent === undefined ? undefined : byCid.get(commit.parent);
    const fresh = commit.recovered.filter((cid) => before?.recovered.includes(cid) !== true);
    if (fresh.length === 0) continue;
    const own = new Set(lineOf(commit.cid, byCid));
    for (const cid of fresh.flatMap((root) => lineOf(root, byCid))) if (!own.has(cid)) merged.add(cid);
  }
  return merged;
}

/** This commit and those before it, as far as they were found. */
function lineOf(cid: Cid, byCid: ReadonlyMap<Cid, FoundCommit>): Cid[] {
  const line: Cid[] = [];
  for (let at = byCid.get(cid); at !== undefined; at = at.parent === undefined ? undefined : byCid.get(at.parent))
    line.push(at.cid);
  return line;
}

async function isWhole({ blocks, pace, memory }: RescueOptions, cid: Cid): Promise<boolean> {
  const era = await blocks.era();
  return (await checkComplete({ blocks, pace, memory, era, anyDepth: true }, cid)).kind === "complete";
}

/** A name for a bucket whose name is stored nowhere. */
export function rescuedName(genesis: Cid): string {
  return `rescued-${Buffer.from(digestOf(genesis)).toString("hex").slice(0, 8)}`;
}
