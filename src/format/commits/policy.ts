/**
 * The policy of a bucket: the rules of every merge, as a block that commits link and inherit, so that a merge depends on its
 * inputs only (docs/reference/formats.md, Policy).
 *
 * Retention is part of the policy, but not of the block: commits carry it (retention.ts).
 *
 * Block: one dag-cbor map. Lists are sorted sets, so that one policy has one CID.
 */
import { SynclineError } from "../../base/errors.ts";
import { asCount, asList, asMap, asTextSet } from "../blocks/cbor-shape.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../blocks/dag-cbor.ts";
import type { Retention } from "./retention.ts";

export interface Policy {
  /** The version of the merge rules. */
  readonly merge: number;
  /** Globs of names whose contents are merged line by line … */
  readonly text: readonly string[];
  /** … up to this many bytes per side. */
  readonly textBytes: number;
  /** Globs of names of append-only files. */
  readonly logs: readonly string[];
  readonly units: Units;
  /** The deletion limit: an inferred deletion of more than `percent` and more than `files` awaits approval. */
  readonly guard: { readonly percent: number; readonly files: number };
  /** How long history is retained. Absent: the default. */
  readonly retention?: Retention | undefined;
}

/** Files that belong together: whole trees, and a file with its neighbors that have these endings. */
export interface Units {
  readonly trees: readonly string[];
  readonly families: readonly { readonly globs: readonly string[]; readonly suffixes: readonly string[] }[];
}

export const MERGE_VERSION = 1;

export const DEFAULT_POLICY: Policy = {
  merge: MERGE_VERSION,
  text: sorted(
    "*.txt *.md *.c *.h *.cc *.js *.ts *.py *.go *.rs *.java *.css *.html *.json *.toml *.yaml *.yml".split(" "),
  ),
  textBytes: 1024 * 1024,
  logs: ["*.log"],
  units: {
    trees: ["**/.git"],
    families: [{ globs: sorted(["*.sqlite", "*.sqlite3", "*.db"]), suffixes: sorted(["-wal", "-shm", "-journal"]) }],
  },
  guard: { percent: 50, files: 100 },
};

/** Encodes a policy without its retention; lists may be unsorted. Throws `format_invalid` for invalid values. */
export function encodePolicy(policy: Policy): Uint8Array {
  const families = policy.units.families.map(({ globs, suffixes }) => [sorted(globs), sorted(suffixes)] as const);
  const bytes = encodeCbor({
    version: VERSION,
    merge: policy.merge,
    text: sorted(policy.text),
    textBytes: policy.textBytes,
    logs: sorted(policy.logs),
    units: { trees: sorted(policy.units.trees), families: families.toSorted(byText) },
    guard: { percent: policy.guard.percent, files: policy.guard.files },
  });
  decodePolicy(bytes);
  return bytes;
}

/** Throws `format_invalid`, and `feature_unknown` for merge rules that this version lacks. */
export function decodePolicy(bytes: Uint8Array): Policy {
  const value = decodeCbor(bytes, MAX_POLICY_BYTES);
  const { version, merge } = asMap(value, "the policy", ["version", "merge"], true);
  if (version !== VERSION || merge !== MERGE_VERSION) {
    throw new SynclineError("feature_unknown", "The bucket's merge policy has an unknown version.", {
      hint: "A newer syncline wrote it. Upgrade to read it.",
    });
  }
  const map = asMap(value, "the policy", ["version", "merge", "text", "textBytes", "logs", "units", "guard"]);
  const guard = asMap(map["guard"], "guard", ["percent", "files"]);
  return {
    merge: MERGE_VERSION,
    text: asTextSet(map["text"], "text", MAX_GLOB_BYTES),
    textBytes: asCount(map["textBytes"], "textBytes", MAX_TEXT_BYTES),
    logs: asTextSet(map["logs"], "logs", MAX_GLOB_BYTES),
    units: unitsFromCbor(map["units"]),
    guard: { percent: asCount(guard["percent"], "percent", 100), files: asCount(guard["files"], "files") },
  };
}

const VERSION = 1;
const MAX_POLICY_BYTES = 64 * 1024;
const MAX_GLOB_BYTES = 255;
/** A line merge compares three versions in memory; this keeps it from taking minutes. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

function unitsFromCbor(value: CborValue | undefined): Units {
  const map = asMap(value, "units", ["trees", "families"]);
  const families = asList(map["families"], "families").map((item) => {
    const [globs, suffixes] = asList(item, "families", 2);
    return {
      globs: asTextSet(globs, "globs", MAX_GLOB_BYTES),
      suffixes: asTextSet(suffixes, "suffixes", MAX_GLOB_BYTES),
    };
  });
  const texts = families.map(({ globs, suffixes }) => JSON.stringify([globs, suffixes]));
  if (texts.some((text, at) => at > 0 && text <= (texts[at - 1] ?? ""))) {
    throw new SynclineError("format_invalid", "The policy's families of files are not sorted.");
  }
  return { trees: asTextSet(map["trees"], "trees", MAX_GLOB_BYTES), families };
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}

function sorted(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)].sort();
}
