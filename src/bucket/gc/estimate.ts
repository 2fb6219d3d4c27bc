/** What a plan frees and writes, in objects and bytes. A collection acts on this estimate, and a dry run reports it. */
import type { Cid } from "../../base/ids.ts";
import { PACK_TARGET_BYTES, RUN_PAGE_BYTES } from "../../base/limits.ts";
import type { Block } from "../../blocks/block-store.ts";
import { encodeManifest, type Manifest, type RunReference } from "../../format/blocks/manifest.ts";
import { decodeNode } from "../../format/tree/node-decoder.ts";
import { commitObjectName, OBJECT_ID_BYTES } from "../../format/blocks/object-name.ts";
import { PACK_ROW_BYTES, PACK_TAIL_BYTES } from "../../format/blocks/pack.ts";
import { pagesOfRun } from "../../format/blocks/run.ts";
import type { ObjectInfo } from "../../objects/object-store.ts";
import { buildPack } from "../../packs/pack-builder.ts";
import type { CommitObject } from "../packed/pack-directory.ts";
import { blocksOf, type Maintenance } from "./maintenance.ts";
import type { LiveRows } from "./live-rows.ts";
import { DROPPED_AT_ONCE, type PackState } from "./victims.ts";

export interface Amount {
  readonly objects: number;
  readonly bytes: number;
}

export interface Estimate {
  /** Packs that would be deleted. */
  readonly packs: number;
  readonly freed: Amount;
  /** Copies of what stays. */
  readonly copied: Amount;
  /** All that is written, copies included. */
  readonly written: Amount;
}

/**
 * The true figure may be this much higher or lower: the second commit lists one more root, which may split a node or need a
 * longer number. (Copies that fill several packs may need fewer than estimated; each costs a few bytes.)
 */
export const ESTIMATE_ERROR_BYTES = 4 * 1024;

export interface Planned {
  readonly live: Pick<LiveRows, "size" | "uses">;
  /** All packs that go, over all passes. */
  readonly victims: readonly PackState[];
  /** All runs in the store: one new run replaces them. */
  readonly runs: readonly ObjectInfo[];
  readonly maintenance: Maintenance;
  readonly gcEpoch: number;
}

export function estimateOf({ live, victims, runs, maintenance, gcEpoch }: Planned): Estimate {
  const run = { objects: live.size > 0 ? 1 : 0, bytes: pagesOfRun(live.size) * RUN_PAGE_BYTES };
  const references = live.size > 0 ? [{ id: "0".repeat(2 * OBJECT_ID_BYTES), rows: live.size }] : [];
  const copied: Amount[] = [];
  const commits: Amount[] = [];
  for (let from = 0; from === 0 || from < victims.length; from += DROPPED_AT_ONCE) {
    const pass = victims.slice(from, from + DROPPED_AT_ONCE);
    copied.push(copiesOf(live, new Set(pass.map(({ name }) => name))));
    commits.push(commitsOf(maintenance, references, pass, gcEpoch));
  }
  return {
    packs: victims.length,
    freed: sum([...victims, ...runs].map(({ size }) => ({ objects: 1, bytes: size }))),
    copied: sum(copied),
    written: sum([...copied, ...commits, run]),
  };
}

function copiesOf(live: Planned["live"], going: ReadonlySet<string>): Amount {
  const bytes = { "dag-cbor": 0, raw: 0 };
  let rows = 0;
  for (const [pack, use] of live.uses) {
    if (!going.has(pack)) continue;
    for (const kind of ["dag-cbor", "raw"] as const) bytes[kind] += use[kind];
    rows += use.rows;
  }
  const packs = Object.values(bytes).reduce((count, each) => count + Math.ceil(each / PACK_TARGET_BYTES), 0);
  return { objects: packs, bytes: bytes["dag-cbor"] + bytes.raw + rows * PACK_ROW_BYTES + packs * PACK_TAIL_BYTES };
}

/** The commit object that completes an interrupted collection on this root by clearing the list of dropping packs. */
export function completionOf(maintenance: Maintenance, { pack, manifest }: CommitObject): Amount {
  const blocks = blocksOfNext(maintenance, blocksOf(maintenance));
  const encoded = encodeManifest({ ...manifest, loose: [...manifest.loose, pack], dropping: [] });
  return { objects: 1, bytes: buildPack(pack.name, blocks, encoded).pack.size };
}

/** The commit objects of one pass: of its first swap, and of the second if packs are dropping. */
function commitsOf(
  maintenance: Maintenance,
  runs: readonly RunReference[],
  victims: readonly PackState[],
  epoch: number,
): Amount {
  const blocks = blocksOf(maintenance);
  const gcEpoch = epoch + 1;
  const name = commitObjectName(maintenance.made.commit.cid);
  const packOf = (of: readonly Block[], manifest: Manifest) => buildPack(name, of, encodeManifest(manifest)).pack;
  const first = packOf(blocks, { gcEpoch, runs, loose: [], dropping: victims.map((victim) => victim.name) });
  if (victims.length === 0) return { objects: 1, bytes: first.size };
  const second = packOf(blocksOfNext(maintenance, blocks), { gcEpoch, runs, loose: [first], dropping: [] });
  return { objects: 2, bytes: first.size + second.size };
}

/** Roughly what the next maintenance commit adds if it thins nothing: only the last nodes of the list of kept commits. */
function blocksOfNext({ made, keptNodes }: Maintenance, blocks: readonly Block[]): Block[] {
  const bytesOf = new Map(blocks.map(({ cid, bytes }) => [cid, bytes]));
  const changed = new Set<Cid>();
  for (let cid: Cid | undefined = made.commit.body.kept; cid !== undefined;) {
    changed.add(cid);
    const node = decodeNode(bytesOf.get(cid) ?? new Uint8Array());
    cid = node.level === 0 ? undefined : node.childAt(node.count - 1);
  }
  const kept = new Set(keptNodes);
  return blocks.filter(({ cid }) => !kept.has(cid) || changed.has(cid));
}

export function sum(amounts: readonly Amount[]): Amount {
  let [objects, bytes] = [0, 0];
  for (const amount of amounts) {
    objects += amount.objects;
    bytes += amount.bytes;
  }
  return { objects, bytes };
}
