/**
 * How formats evolve: a commit names its bucket's features, in three classes. An unknown feature blocks the bucket
 * (`incompat`), makes it read-only (`roCompat`), or has no effect (`compat`).
 */
import { SynclineError } from "../../base/errors.ts";
import { asMap, asTextSet } from "../blocks/cbor-shape.ts";
import type { CborValue } from "../blocks/dag-cbor.ts";

export interface Features {
  readonly incompat: readonly string[];
  readonly roCompat: readonly string[];
  readonly compat: readonly string[];
}

export const NO_FEATURES: Features = { incompat: [], roCompat: [], compat: [] };

/** Commits may name the machine that made them. */
export const MACHINE_FEATURE = "machine/1";

/** Commits may name the newest commit whose deletions a person approved. */
export const APPROVAL_FEATURE = "approval/1";

/** Commits may set how long history is retained. Read-only for older versions if that exceeds their own retention. */
export const RETENTION_FEATURE = "retention/1";

/** Commits may name roots that the bucket had lost and that were merged in again. */
export const RECOVERY_FEATURE = "recovery/1";

/** Long heads are in a tree. */
export const HEADS_TREE_FEATURE = "heads-tree/1";

/** What this version knows beyond the first formats. */
const KNOWN: Features = {
  incompat: [HEADS_TREE_FEATURE],
  roCompat: [RETENTION_FEATURE],
  compat: [APPROVAL_FEATURE, MACHINE_FEATURE, RECOVERY_FEATURE, RETENTION_FEATURE],
};

/** Whether a bucket with these features may be written. Throws `feature_unknown` if it may not even be read. */
export function mayWrite(features: Features): boolean {
  const refused = unknownOf(features, "incompat");
  if (refused.length > 0) {
    throw new SynclineError(
      "feature_unknown",
      `The bucket uses ${refused.join(", ")}, which this version does not support.`,
      { hint: "A newer syncline wrote it. Upgrade to open it." },
    );
  }
  return unknownOf(features, "roCompat").length === 0;
}

/** Whether any class names an unknown feature, so that unknown fields may occur. */
export function hasUnknownFeatures(features: Features): boolean {
  return CLASSES.some((name) => unknownOf(features, name).length > 0);
}

/** Whether the feature is named, in any class. */
export function hasFeature(features: Features, name: string): boolean {
  return CLASSES.some((each) => features[each].includes(name));
}

/** Moves the feature to this class only; undefined: removes it. */
export function withFeature(features: Features, name: string, as: keyof Features | undefined): Features {
  const named = (each: keyof Features) => {
    const others = features[each].filter((feature) => feature !== name);
    return each === as ? [...others, name] : others;
  };
  return { incompat: named("incompat"), roCompat: named("roCompat"), compat: named("compat") };
}

/** Adds a feature that readers need not know. */
export function withCompat(features: Features, name: string): Features {
  return { ...features, compat: [...new Set([...features.compat, name])] };
}

export function featuresToCbor(features: Features): CborValue {
  return Object.fromEntries(CLASSES.map((name) => [name, [...features[name]].sort()]));
}

export function featuresFromCbor(value: CborValue | undefined): Features {
  const map = asMap(value, "features", CLASSES);
  return {
    incompat: asTextSet(map["incompat"], "incompat", MAX_FEATURE_BYTES),
    roCompat: asTextSet(map["roCompat"], "roCompat", MAX_FEATURE_BYTES),
    compat: asTextSet(map["compat"], "compat", MAX_FEATURE_BYTES),
  };
}

const CLASSES = ["incompat", "roCompat", "compat"] as const;
const MAX_FEATURE_BYTES = 64;

function unknownOf(features: Features, name: keyof Features): string[] {
  return features[name].filter((feature) => !KNOWN[name].includes(feature));
}
