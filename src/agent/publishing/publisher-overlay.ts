/** What a publisher needs of the overlay, on whichever thread that lives. */
import type { ChangeSet, NewBase, PublishedEpoch, SentCommit } from "../../fstree/change-set.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import type { Units } from "../../format/commits/policy.ts";

export interface PublisherOverlay {
  /** `anew`: seals a held epoch again, with the changes since; `removals`: only removals outside these units (overlay.ts). */
  seal(anew: boolean, removals?: Units): Promise<ChangeSet | undefined>;
  /** Notes durably, before a swap is sent, that it may put this commit of the sealed epoch into the bucket. */
  sending(epoch: number, sent: SentCommit): Promise<void>;
  published(epoch: PublishedEpoch): Promise<void>;
  /**
   * Adopts another writer's root, unless changes in these units ("any": any changes) are unpublished. Answers whether it
   * did.
   */
  adopt(base: NewBase, units: Units | "any"): Promise<boolean>;
  /** Bases before the present one that unpublished changes need, oldest first. */
  olderBases(): Promise<readonly BaseRoot[]>;
}
