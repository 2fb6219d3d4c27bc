/** The outcome of an epoch with its objects encoded: frees the objects, and crosses to another thread. */
import { EPOCH_PIECE } from "../../base/limits.ts";
import type { PublishedEpoch } from "../../fstree/change-set.ts";
import type { PublishOutcome } from "../../bucket/publish/outcome.ts";
import { EncodedObjects } from "../../overlay/data/encoded-epoch.ts";

export type EncodedOutcome =
  | Exclude<PublishOutcome, { kind: "published" }>
  | (Omit<Extract<PublishOutcome, { kind: "published" }>, "epoch"> & { readonly epoch: PublishedEpoch });

export function encoded(outcome: PublishOutcome): EncodedOutcome {
  if (outcome.kind !== "published") return outcome;
  const { epoch } = outcome;
  return { ...outcome, epoch: { ...epoch, objects: EncodedObjects.of(epoch.objects, EPOCH_PIECE) } };
}
