/**
 * Whether a commit may become a bucket's root: it descends from the current one, belongs to the bucket, is signed by a
 * device that the owner certified, and everything it reaches is stored. Cheap checks come first.
 *
 * This protects owners from others, and from their own mistakes. Agents check it all again: they do not trust a master.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import { Budget } from "../../base/budget.ts";
import type { Clock } from "../../base/clock.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import { WALK_SLICE_MS, WALKS_BYTES } from "../limits.ts";
import { TimeSlice } from "../../base/time-slice.ts";
import { isGone } from "../../blocks/not-found.ts";
import { type PlacedCommit, skipOf } from "../../bucket/history.ts";
import { type Certificate, checkCertificate, decodeCertificate } from "../../format/commits/certificate.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import { type Commit, decodeCommit, verifyCommit } from "../../format/commits/commit.ts";
import { decodeGenesis } from "../../format/commits/genesis.ts";
import { Refusal, type RefusalCode } from "../http/refusal.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";
import { checkComplete } from "./completeness.ts";

export interface Candidate {
  /** The bucket's owner, and the blocks of that owner. */
  readonly owner: Wallet;
  readonly blocks: OwnerBlocks;
  /** Of the blocks. */
  readonly era: number;
  /** The root that the swap replaces; undefined: it creates the bucket. */
  readonly current: Cid | undefined;
  readonly next: Cid;
}

export class SwapCheck {
  readonly #clock: Clock;
  readonly #linear: boolean;
  readonly #memory = new Budget(WALKS_BYTES);
  /** Verified certificates, since a wallet signature takes a millisecond to verify. */
  readonly #certificates = new BoundedMap<Cid, Certificate>(CERTIFICATES_REMEMBERED);

  /** `linear` false: a root need not descend from the one it replaces. For drills only. */
  constructor(clock: Clock, linear: boolean) {
    this.#clock = clock;
    this.#linear = linear;
  }

  /** Undefined: accepted. Throws the store's errors, and `store_corrupt` if the current root is not a commit. */
  async refusalOf(candidate: Candidate): Promise<Refusal | undefined> {
    try {
      const commit = await readCommit(candidate.blocks, candidate.next);
      const parent = await currentCommit(candidate);
      await checkGenesis(candidate, commit, parent);
      if (this.#linear) await checkPlace(candidate, commit, parent);
      await this.#checkSigner(candidate, commit);
      await checkAllStored(candidate, new TimeSlice(this.#clock, WALK_SLICE_MS), this.#memory);
      return undefined;
    } catch (error) {
      if (error instanceof Refusal) return error;
      throw error;
    }
  }

  async #checkSigner({ owner, blocks }: Candidate, commit: Commit): Promise<void> {
    const certificate = await this.#certificate(blocks, commit.certificate);
    refuseAs({ device_not_certified: "device_not_certified" }, () =>
      checkCertificate(certificate, { genesis: commit.body.genesis, owner }),
    );
    if (BigInt(certificate.body.notAfter) * 1_000_000_000n <= this.#clock.nowNs()) {
      throw new Refusal(
        "device_not_certified",
        "The device's certificate has expired: create a new one with the owner's key.",
      );
    }
    refuseAs({ bad_signature: "bad_signature" }, () => verifyCommit(commit, certificate));
  }

  async #certificate(blocks: OwnerBlocks, cid: Cid): Promise<Certificate> {
    const bytes = await readBlock(blocks, cid);
    const known = this.#certificates.get(cid);
    if (known !== undefined) return known;
    const certificate = refuseAs(
      { ...UNREADABLE, bad_signature: "device_not_certified", key_invalid: "device_not_certified" },
      () => decodeCertificate(bytes),
    );
    this.#certificates.set(cid, certificate);
    return certificate;
  }
}

const CERTIFICATES_REMEMBERED = 4_096;
const UNREADABLE = { format_invalid: "format_invalid", feature_unknown: "feature_unknown" } as const;

/** Runs a decoder or check; turns its listed errors, which are the client's fault, into refusals. */
function refuseAs<Result>(codes: Readonly<Record<string, RefusalCode>>, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    const code = error instanceof SynclineError ? codes[error.code] : undefined;
    if (code === undefined || !(error instanceof SynclineError)) throw error;
    const message = [error.message, error.hint].filter((text) => text !== undefined).join(" ");
    throw new Refusal(code, message, { cause: error });
  }
}

/** Names a lost or damaged block, so that any client that still has it can resend it. */
async function readBlock(blocks: OwnerBlocks, cid: Cid): Promise<Uint8Array> {
  try {
    return await blocks.get(cid);
  } catch (error) {
    if (isGone(error)) throw missing([cid]);
    throw error;
  }
}

async function readCommit(blocks: OwnerBlocks, cid: Cid): Promise<Commit> {
  if (codecOf(cid) !== "dag-cbor") throw new Refusal("format_invalid", "A root must be a commit, encoded as dag-cbor.");
  const bytes = await readBlock(blocks, cid);
  return refuseAs(UNREADABLE, () => decodeCommit(bytes));
}

async function currentCommit({ blocks, current }: Candidate): Promise<Commit | undefined> {
  if (current === undefined) return undefined;
  const bytes = await readBlock(blocks, current);
  try {
    return decodeCommit(bytes);
  } catch (cause) {
    throw new SynclineError("store_corrupt", `The bucket's root ${current} is not a commit.`, { cause });
  }
}

async function checkGenesis({ owner, blocks }: Candidate, commit: Commit, parent: Commit | undefined): Promise<void> {
  const { genesis } = commit.body;
  if (parent !== undefined) {
    if (genesis === parent.body.genesis) return;
    throw new Refusal(
      "foreign_genesis",
      `The commit belongs to another bucket: the genesis of this one is ${parent.body.genesis}.`,
    );
  }
  const bytes = await readBlock(blocks, genesis);
  const decoded = refuseAs({ ...UNREADABLE, bad_signature: "bad_signature" }, () => decodeGenesis(bytes));
  if (decoded.body.owner === owner) return;
  throw new Refusal("foreign_genesis", `The genesis belongs to ${decoded.body.owner}: create one of your own.`);
}

async function checkPlace(candidate: Candidate, commit: Commit, parent: Commit | undefined): Promise<void> {
  const { body } = commit;
  if (body.parent !== candidate.current) {
    const wanted = candidate.current ?? "none yet";
    throw new Refusal(
      "not_descendant",
      `The commit's parent is not the current root (${wanted}). Merge and try again.`,
    );
  }
  // The format ties seq 1 to having no parent.
  if (parent === undefined) return;
  if (body.seq !== parent.body.seq + 1) {
    throw new Refusal("bad_seq", `The commit's seq is ${body.seq}, but must be ${parent.body.seq + 1}.`);
  }
  await checkSkip(candidate, commit, parent);
}

/** Checks where `skip` leads, as far as the commits along it still exist: history may have been pruned. */
async function checkSkip({ blocks }: Candidate, { body }: Commit, parent: Commit): Promise<void> {
  let skip: Cid | undefined;
  try {
    skip = await skipOf({ commit: async (cid): Promise<PlacedCommit> => decodeCommit(await blocks.get(cid)) }, parent);
  } catch (error) {
    if (isGone(error) || hasCode(error, "format_invalid")) return;
    throw error;
  }
  if (skip !== body.skip) throw new Refusal("not_descendant", "The commit's skip leads to the wrong ancestor.");
}

async function checkAllStored({ blocks, era, next }: Candidate, pace: TimeSlice, memory: Budget): Promise<void> {
  const found = await checkComplete({ blocks, era, pace, memory }, next);
  if (found.kind === "missing") throw missing(found.missing);
  if (found.kind === "malformed") {
    throw new Refusal("format_invalid", `Block ${found.cid}, reachable from the root: ${found.message}`, {
      details: { cid: found.cid },
    });
  }
}

function missing(cids: readonly Cid[]): Refusal {
  return new Refusal(
    "missing_blocks",
    "Some blocks that the root reaches are not stored for you. Upload them and swap again.",
    { details: { missing: cids } },
  );
}
