/** Single values that the database keeps, such as the bucket, the numbers used and the epoch being published. */

export type FactKey =
  | "base"
  | "bucket"
  | "folder"
  | "epoch"
  | "under way"
  | "sent"
  | "late"
  | "compare all"
  /** A directory came or moved since the last plan. */
  | "directory moved"
  /** A plan removes what others moved to ignored paths. */
  | "leaving"
  | "rules"
  | "rules source"
  /** The last pass found that the rules are gone. */
  | "rules emptied"
  | "exchanged"
  | "shown"
  | "awaited"
  | "files before";
