/** The outcome of an epoch with its objects packed: frees the objects, and crosses to another thread. */
import { EPOCH_PIECE } from "../../base/limits.ts";
import type { PublishedEpoch } from "../../fstree/change-set.ts";
import type { PublishOutcome } from "../../bucket/publish/outcome.ts";
import { PackedObjects } from "../../overlay/data/packed-epoch.ts";

export type PackedOutcome =
  | Exclude<PublishOutcome, { kind: "published" }>
  | (Omit<Extract<PublishOutcome, { kind: "published" }>, "epoch"> & { readonly epoch: PublishedEpoch });

export function packed(outcome: PublishOutcome): PackedOutcome {
  if (outcome.kind !== "published") return outcome;
  const { epoch } = outcome;
  return { ...outcome, epoch: { ...epoch, objects: PackedObjects.of(epoch.objects, EPOCH_PIECE) } };
}
