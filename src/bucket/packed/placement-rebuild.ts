/** Rebuilds the newest root's run and manifest from all packs' footers (docs/reference/formats.md: `verify --repair`). */
import { unlessSync } from "../../base/unless.ts";
import { isDamage, SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import type { Block } from "../../blocks/block-store.ts";
import { digestOf, digestText } from "../../format/blocks/cid.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../../format/blocks/manifest.ts";
import { commitObjectName, OBJECT_ID_BYTES, packName } from "../../format/blocks/object-name.ts";
import {
  decodeFooter,
  encodeFooter,
  footerOffset,
  PACK_TAIL_BYTES,
  type PackFooter,
  readTail,
} from "../../format/blocks/pack.ts";
import { decodeCommit } from "../../format/commits/commit.ts";
import { type ObjectBody, type ObjectStore, putOver } from "../../objects/object-store.ts";
import { isWrongCommit } from "../verified-commit.ts";
import type { BlockCopies, StoredFooter } from "./block-copies.ts";
import { buildPack } from "../../packs/pack-builder.ts";
import type { RepairedRoot } from "./repaired-root.ts";
import { type PackRows, putRun, rowsOfPacks } from "./run-merge.ts";

export interface RebuildInput {
  readonly store: ObjectStore;
  /** The root before the footers in `copies` were read: later commits are not among them. */
  readonly root: RepairedRoot;
  readonly copies: BlockCopies;
  readonly random: Random;
  /** Blocks that no pack holds: they get new packs if a copy is found. */
  readonly lacking: readonly Cid[];
  /** Packs with damaged blocks: copies in other packs take precedence. */
  readonly damaged: ReadonlySet<string>;
}

/**
 * Returns what was done, for people; undefined if the root or its commit cannot be read: then nothing can be done. Throws
 * `root_moved` if another process published since the root was read.
 */
export async function rebuildPlacement(input: RebuildInput): Promise<string | undefined> {
  const { store, copies, root } = input;
  const { commit } = root;
  if (commit === undefined) return undefined;
  const name = commitObjectName(commit);
  const own = await ownBlocks(input, commit, name);
  if (own === undefined) return undefined;
  const sent = await sendLacking(input);
  const state = await collectorState(copies, commit);
  const needed = neededAgain(input, state.dropping);
  const dropping = state.dropping.filter((pack) => copies.footers.has(pack) && !needed.has(pack));
  const gone = new Set<PackName>([name, ...dropping]);
  const packs = [...copies.footers].flatMap(([pack, { footer }]) => (gone.has(pack) ? [] : [{ pack, footer }]));
  // A running collector may still delete what was dropping: copies in other packs take precedence.
  const rank = ({ pack }: PackRows) => (input.damaged.has(pack) ? 2 : Number(needed.has(pack)));
  packs.sort((a, b) => rank(a) - rank(b));
  const runs =
    packs.length === 0 ? [] : [await putRun(input.random, [rowsOfPacks(packs)], (...run) => putNew(store, ...run))];
  const manifest = encodeManifest({ gcEpoch: state.gcEpoch, runs, loose: [], dropping });
  await root.check();
  await replace(store, name, [own.blocks, encodeFooter([...own.footer], manifest).bytes], own.token);
  await root.swapAgain();
  return `manifest rebuilt over ${packs.length} packs, ${sent} of ${input.lacking.length} missing blocks stored again`;
}

interface OwnBlocks {
  readonly blocks: Uint8Array;
  readonly footer: PackFooter;
  /** The object's token when it was read; undefined if it did not exist. */
  readonly token: string | undefined;
}

/**
 * The blocks of the commit object as stored. Built anew around the commit only if the object is gone or unreadable: it may
 * hold the only copy of some blocks. Read directly, since a list of objects may lack the newest.
 */
async function ownBlocks({ store, copies }: RebuildInput, commit: Cid, name: PackName): Promise<OwnBlocks | undefined> {
  const object = await store.get(name);
  const stored = object && (await unlessDamaged(async () => blocksIn(object.bytes)));
  if (stored !== undefined) return { ...stored, token: object?.token };
  const bytes = await copies.find(digestOf(commit));
  if (bytes === undefined) return undefined;
  return { blocks: bytes, footer: buildPack(name, [{ cid: commit, bytes }]).footer, token: object?.token };
}

/** Throws `format_invalid`. */
function blocksIn(bytes: Uint8Array): Omit<OwnBlocks, "token"> {
  const shape = readTail(bytes.subarray(-PACK_TAIL_BYTES), bytes.length);
  const start = footerOffset(shape);
  return { blocks: bytes.subarray(0, start), footer: decodeFooter(bytes.subarray(start), shape).footer };
}

/** Stores copies of the blocks that no pack holds; returns the number of blocks with a copy. */
async function sendLacking({ store, copies, random, lacking }: RebuildInput): Promise<number> {
  let waiting: Block[] = [];
  let bytes = 0;
  let sent = 0;
  const send = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const built = buildPack(packName(random.bytes(OBJECT_ID_BYTES)), waiting);
    await putNew(store, built.pack.name, built.body);
    await copies.readFooter(built.pack.name);
    sent += waiting.length;
    waiting = [];
    bytes = 0;
  };
  for (const cid of lacking) {
    const copy = await copies.find(digestOf(cid));
    if (copy === undefined) continue;
    waiting.push({ cid, bytes: copy });
    bytes += copy.length;
    if (bytes >= PACK_TARGET_BYTES) await send();
  }
  await send();
  return sent;
}

/**
 * What collections left behind, by the newest manifest of the root's own history. Commits that no root follows prove
 * nothing: the collector that made one may have lost its swap.
 */
async function collectorState(copies: BlockCopies, root: Cid): Promise<Pick<Manifest, "gcEpoch" | "dropping">> {
  const own = manifestOf(copies, root);
  if (own !== undefined) return own;
  let known: Manifest | undefined;
  for (let at = await parentOf(copies, root); at !== undefined && known === undefined; at = await parentOf(copies, at))
    known = manifestOf(copies, at);
  // Above every collection that an upload may have begun before: it must check its packs again.
  let gcEpoch = 0;
  for (const { manifest } of copies.footers.values()) gcEpoch = Math.max(gcEpoch, decoded(manifest)?.gcEpoch ?? 0);
  return { gcEpoch: gcEpoch + 1, dropping: known?.dropping ?? [] };
}

/** The manifest of a commit's object; undefined if it is gone, or replaced by an empty one when its pack was healed. */
function manifestOf({ footers }: BlockCopies, commit: Cid): Manifest | undefined {
  const manifest = decoded(footers.get(commitObjectName(commit))?.manifest);
  return manifest === undefined || manifest.runs.length + manifest.loose.length === 0 ? undefined : manifest;
}

/** Undefined where there is none. Throws `feature_unknown`. */
function decoded(manifest: Uint8Array | undefined): Manifest | undefined {
  if (manifest === undefined || manifest.length === 0) return undefined;
  return unlessSync(isDamage, () => decodeManifest(manifest));
}

/** Undefined if the commit is the first, lost or unreadable. */
async function parentOf(copies: BlockCopies, commit: Cid): Promise<Cid | undefined> {
  const bytes = await copies.find(digestOf(commit));
  return unlessSync(isWrongCommit, () => bytes && decodeCommit(bytes).body.parent);
}

/** Dropping packs with the only copy of some block: the bucket may need it again. */
function neededAgain({ copies, damaged }: RebuildInput, dropping: readonly PackName[]): Set<PackName> {
  const needed = new Set<PackName>();
  const going = new Set(dropping.filter((pack) => copies.footers.has(pack)));
  if (going.size === 0) return needed;
  const elsewhere = new Set<string>();
  const add = ({ footer }: StoredFooter) => {
    for (const { digest } of footer) elsewhere.add(digestText(digest));
  };
  for (const [pack, stored] of copies.footers) if (!going.has(pack) && !damaged.has(pack)) add(stored);
  for (const pack of going) {
    const stored = copies.footers.get(pack);
    if (stored === undefined || [...stored.footer].every(({ digest }) => elsewhere.has(digestText(digest)))) continue;
    needed.add(pack);
    add(stored);
  }
  return needed;
}

async function putNew(store: ObjectStore, name: string, body: ObjectBody): Promise<void> {
  const { kind } = await store.putNew(name, body);
  if (kind !== "stored") throw new SynclineError("store_failed", `Could not store ${name}.`);
}

/** Throws `root_moved` if the object has changed since it was read or found absent. */
async function replace(
  store: ObjectStore,
  name: string,
  body: readonly Uint8Array[],
  token: string | undefined,
): Promise<void> {
  const outcome = await putOver(store, name, body, token);
  if (outcome.kind === "refused")
    throw new SynclineError("root_moved", `Another process wrote ${name} during the repair.`);
  if (outcome.kind !== "stored") throw new SynclineError("store_failed", `Could not replace ${name}.`);
}
