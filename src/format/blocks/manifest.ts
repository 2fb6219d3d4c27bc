/**
 * The manifest of a commit object: which store objects hold the blocks of this commit and its ancestors.
 *
 * dag-cbor `[1, gcEpoch, runs, loose, dropping]`: runs `[id 16, rows]`, oldest and largest first; loose packs `[reference
 * 33, size, rows, bytes of manifest]`, oldest first; dropping `reference 33`, ascending. The object that carries a manifest
 * is an unlisted loose pack itself. Placement is never part of a commit: CIDs are the same on every store.
 */
import { SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { MAX_LOOSE_PACKS, MAX_RUNS, PACK_MAX_BYTES } from "../../base/limits.ts";
import { type CborValue, decodeCbor, encodeCbor } from "./dag-cbor.ts";
import { OBJECT_ID_BYTES, packFromReference, packReference } from "./object-name.ts";
import { footerOffset, type PackShape } from "./pack.ts";

export interface Manifest {
  /** The number of collections of the bucket so far. */
  readonly gcEpoch: number;
  readonly runs: readonly RunReference[];
  readonly loose: readonly LoosePack[];
  /** Packs being deleted: never refer to them again. */
  readonly dropping: readonly PackName[];
}

export interface RunReference {
  /** 16 random bytes in hex. */
  readonly id: string;
  readonly rows: number;
}

/** A pack outside all runs; its shape tells where its footer is. */
export interface LoosePack extends PackShape {
  readonly name: PackName;
}

export const EMPTY_MANIFEST: Manifest = { gcEpoch: 0, runs: [], loose: [], dropping: [] };

export function encodeManifest(manifest: Manifest): Uint8Array {
  const dropping = manifest.dropping.map(packReference).sort(Buffer.compare);
  return encodeCbor([
    FORMAT,
    manifest.gcEpoch,
    manifest.runs.map(({ id, rows }) => [Buffer.from(id, "hex"), rows]),
    manifest.loose.map(({ name, size, rows, manifestBytes }) => [packReference(name), size, rows, manifestBytes]),
    dropping,
  ]);
}

/** Throws `format_invalid`, or `feature_unknown` for a later format. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const [format, gcEpoch, runs, loose, dropping, ...rest] = listOf(decodeCbor(bytes, PACK_MAX_BYTES));
  if (typeof format === "number" && format > FORMAT) {
    throw new SynclineError(
      "feature_unknown",
      `A manifest has format ${format}, which this version does not support.`,
      { hint: "Upgrade syncline on this machine." },
    );
  }
  if (format !== FORMAT || rest.length > 0) throw invalid("is malformed");
  const manifest = {
    gcEpoch: countOf(gcEpoch),
    runs: listOf(runs).map(runOf),
    loose: listOf(loose).map(looseOf),
    dropping: listOf(dropping).map((reference) => packFromReference(bytesOf(reference))),
  };
  checkManifest(manifest);
  return manifest;
}

const FORMAT = 1;

function runOf(value: CborValue): RunReference {
  const [id, rows, ...rest] = listOf(value);
  const bytes = bytesOf(id);
  if (bytes.length !== OBJECT_ID_BYTES || rest.length > 0) throw invalid("has a malformed run reference");
  return { id: Buffer.from(bytes).toString("hex"), rows: countOf(rows) };
}

function looseOf(value: CborValue): LoosePack {
  const [reference, size, rows, manifestBytes, ...rest] = listOf(value);
  const name = packFromReference(bytesOf(reference));
  const pack = { name, size: countOf(size), rows: countOf(rows), manifestBytes: countOf(manifestBytes) };
  if (rest.length > 0 || pack.size > PACK_MAX_BYTES || footerOffset(pack) < 0)
    throw invalid(`has a wrong size for ${name}`);
  return pack;
}

function checkManifest({ runs, loose, dropping }: Manifest): void {
  if (runs.length > MAX_RUNS || loose.length > MAX_LOOSE_PACKS) throw invalid("lists too many runs or packs");
  if (runs.some(({ rows }) => rows === 0)) throw invalid("lists an empty run");
  if (new Set(runs.map(({ id }) => id)).size !== runs.length) throw invalid("lists a run twice");
  if (new Set(loose.map(({ name }) => name)).size !== loose.length) throw invalid("lists a pack twice");
  const references = dropping.map(packReference);
  for (const [index, reference] of references.entries()) {
    const before = references[index - 1];
    if (before !== undefined && Buffer.compare(before, reference) >= 0)
      throw invalid("has an unsorted list of packs to drop");
  }
}

function listOf(value: CborValue | undefined): readonly CborValue[] {
  if (!Array.isArray(value)) throw invalid("is malformed");
  return value;
}

function bytesOf(value: CborValue | undefined): Uint8Array {
  if (!(value instanceof Uint8Array)) throw invalid("is malformed");
  return value;
}

function countOf(value: CborValue | undefined): number {
  if (typeof value !== "number" || value < 0) throw invalid("has an invalid count");
  return value;
}

function invalid(what: string): SynclineError {
  return new SynclineError("format_invalid", `A manifest ${what}.`);
}
