/**
 * The object `genesis`: a copy of the block that every commit of the bucket links, so that opening the bucket takes one read.
 * Where it is missing or damaged, readers take that block.
 */
import { unlessSync } from "../../base/unless.ts";
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import { digestOf, matchesCid } from "../../format/blocks/cid.ts";
import { GENESIS_OBJECT } from "../../format/blocks/object-name.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { decodeGenesis } from "../../format/commits/genesis.ts";
import { type ObjectStore, putOver } from "../../objects/object-store.ts";
import { isWrongCommit } from "../verified-commit.ts";
import type { BlockCopies } from "./block-copies.ts";
import type { CommitObject, PackDirectory } from "./pack-directory.ts";

/** The genesis that a commit links, by the commit object; undefined if that does not hold the commit intact. */
export async function genesisLinkedIn(
  directory: PackDirectory,
  { pack, footer }: CommitObject,
  commit: Cid,
): Promise<Cid | undefined> {
  const row = footer.find(digestOf(commit));
  const [bytes] = (row && (await unlessDamaged(() => directory.getRanges(pack.name, [row])))) ?? [];
  return bytes && matchesCid(commit, bytes) ? genesisIn(bytes) : undefined;
}

/**
 * What is wrong with the object, for people; undefined if nothing is. `linked`: the genesis that the root's commit links, if
 * that is known. Throws as the store does, also `format_invalid` for an object that is too large.
 */
export async function genesisDamage(store: ObjectStore, linked: Cid | undefined): Promise<string | undefined> {
  const object = await store.get(GENESIS_OBJECT);
  if (object === undefined) return "is missing";
  if (linked === undefined || matchesCid(linked, object.bytes)) return undefined;
  return isGenesis(object.bytes) ? "belongs to another bucket" : "is damaged";
}

/**
 * Stores the genesis that the root's commit links where the object is missing or damaged; returns what was done, if anything.
 * Leaves the genesis of another bucket: a person must find out which one is meant. Throws as the store does.
 */
export async function mendGenesis(
  store: ObjectStore,
  copies: BlockCopies,
  commit: Cid | undefined,
): Promise<string | undefined> {
  const signed = commit && (await copies.find(digestOf(commit)));
  const linked = signed && genesisIn(signed);
  const bytes = linked && (await copies.find(digestOf(linked)));
  if (bytes === undefined) return undefined;
  const read = await unlessDamaged(async () => ({ object: await store.get(GENESIS_OBJECT) }));
  const object = read?.object;
  if (object !== undefined && (Buffer.compare(object.bytes, bytes) === 0 || isGenesis(object.bytes))) return undefined;
  // An object that is too large to be read has no token.
  if (read === undefined) await store.delete(GENESIS_OBJECT);
  const outcome = await putOver(store, GENESIS_OBJECT, [bytes], object?.token);
  if (outcome.kind === "unknown")
    throw new SynclineError("store_failed", `Could not replace ${GENESIS_OBJECT}.`, { cause: outcome.cause });
  return outcome.kind === "stored" ? "stored again, from the block that the newest commit links" : undefined;
}

function genesisIn(commit: Uint8Array): Cid | undefined {
  return unlessSync(isWrongCommit, () => decodeCommit(commit).body.genesis);
}

function isGenesis(bytes: Uint8Array): boolean {
  return unlessSync(isWrongCommit, () => decodeGenesis(bytes)) !== undefined;
}
