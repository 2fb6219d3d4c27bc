/** Makes a new run and manifest for the newest root out of the footers of all packs (format.md: `verify --repair`). */
import { SynclineError } from "../../base/errors.ts";
import type { Cid, PackName } from "../../base/ids.ts";
import { PACK_TARGET_BYTES } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import type { Block } from "../../blocks/block-store.ts";
import { digestOf } from "../../format/cid.ts";
import { decodeManifest, encodeManifest, type Manifest } from "../../format/manifest.ts";
import { commitObjectName, OBJECT_ID_BYTES, packName, ROOT_OBJECT, runName } from "../../format/object-name.ts";
import { encodeFooter, type PackFooter } from "../../format/pack.ts";
import { decodeRoot } from "../../format/root-object.ts";
import type { ObjectBody, ObjectStore } from "../../objects/object-store.ts";
import type { BlockCopies } from "./block-copies.ts";
import { buildPack } from "./pack-builder.ts";
import { mergePages, type PackRows, rowsOfPacks } from "./run-merge.ts";

export interface RebuildInput {
  readonly store: ObjectStore;
  readonly copies: BlockCopies;
  readonly random: Random;
  /** Blocks that no pack holds: they get packs of their own if a copy is found. */
  readonly lacking: readonly Cid[];
  /** Packs with damaged blocks: another pack's copy of a block goes before theirs. */
  readonly damaged: ReadonlySet<string>;
}

/**
 * Says what was done, for people; undefined if the root or its commit cannot be read, so that nothing could be. Throws
 * `root_moved` if someone published meanwhile.
 */
export async function rebuildPlacement(input: RebuildInput): Promise<string | undefined> {
  const { store, copies } = input;
  const root = await store.get(ROOT_OBJECT);
  const commit = root && readPointer(root.bytes);
  if (commit === undefined) return undefined;
  const name = commitObjectName(commit);
  const own = await ownBlocks(input, commit, name);
  if (own === undefined) return undefined;
  const sent = await sendLacking(input);
  const { gcEpoch, dropping } = collectorState(copies);
  const gone = new Set<PackName>([name, ...dropping]);
  const packs = [...copies.footers].flatMap(([pack, { footer }]) => (gone.has(pack) ? [] : [{ pack, footer }]));
  packs.sort((a, b) => Number(input.damaged.has(a.pack)) - Number(input.damaged.has(b.pack)));
  const runs = await putRun(input, packs);
  const body = [
    ...own.blocks,
    encodeFooter([...own.footer], encodeManifest({ gcEpoch, runs, loose: [], dropping })).bytes,
  ];
  await replace(store, name, body);
  if ((await store.get(ROOT_OBJECT))?.token !== root?.token) {
    throw new SynclineError("root_moved", "Someone published while the bucket was repaired.", {
      hint: "Stop the agents that use this bucket and repair again.",
    });
  }
  return `a new manifest over ${packs.length} packs, ${sent} of ${input.lacking.length} missing blocks stored again`;
}

function readPointer(bytes: Uint8Array): Cid | undefined {
  try {
    return decodeRoot(bytes).commit;
  } catch {
    return undefined;
  }
}

/** The blocks of the commit object as they are stored; made anew around the commit if the object is gone. */
async function ownBlocks(
  { store, copies }: RebuildInput,
  commit: Cid,
  name: PackName,
): Promise<{ blocks: Uint8Array[]; footer: PackFooter } | undefined> {
  const known = copies.footers.get(name);
  if (known !== undefined) {
    const length = [...known.footer].reduce((end, row) => Math.max(end, row.offset + row.length), 0);
    return { blocks: await store.getRanges(name, [{ offset: 0, length }]), footer: known.footer };
  }
  const bytes = await copies.find(digestOf(commit));
  if (bytes === undefined) return undefined;
  return { blocks: [bytes], footer: buildPack(name, [{ cid: commit, bytes }]).footer };
}

/** Stores copies of the blocks that no pack holds; returns of how many there were any. */
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

/** What the collector of garbage was at: the newest manifests know, and whatever they drop must not be listed again. */
function collectorState(copies: BlockCopies): Pick<Manifest, "gcEpoch" | "dropping"> {
  let gcEpoch = 0;
  let dropping = new Set<PackName>();
  for (const { manifest } of copies.footers.values()) {
    if (manifest.length === 0) continue;
    const read = decodeManifest(manifest);
    if (read.gcEpoch > gcEpoch) dropping = new Set();
    gcEpoch = Math.max(gcEpoch, read.gcEpoch);
    if (read.gcEpoch === gcEpoch) for (const pack of read.dropping) dropping.add(pack);
  }
  return { gcEpoch, dropping: [...dropping] };
}

async function putRun(
  { store, random }: RebuildInput,
  packs: readonly PackRows[],
): Promise<{ id: string; rows: number }[]> {
  if (packs.length === 0) return [];
  const id = Buffer.from(random.bytes(OBJECT_ID_BYTES)).toString("hex");
  let rows = 0;
  await putNew(
    store,
    runName(id),
    mergePages([rowsOfPacks(packs)], (count) => (rows = count)),
  );
  return [{ id, rows }];
}

async function putNew(store: ObjectStore, name: string, body: ObjectBody): Promise<void> {
  const { kind } = await store.putNew(name, body);
  if (kind !== "stored") throw new SynclineError("store_failed", `${name} could not be stored.`);
}

async function replace(store: ObjectStore, name: string, body: readonly Uint8Array[]): Promise<void> {
  const there = await store.get(name);
  if (there === undefined) return putNew(store, name, body);
  const { kind } = await store.putIfMatch(name, body, there.token);
  if (kind !== "stored") throw new SynclineError("store_failed", `${name} could not be replaced.`);
}
