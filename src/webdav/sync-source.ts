/** Where sync-collection (RFC 6578) learns what changed: a port. */
import type { FileName } from "../base/ids.ts";

export interface SyncSource {
  /** Names the state of the share now: an absolute URI. */
  token(): string;
  /**
   * What changed in the folder at `path` and below since the state that `token` names, at most `limit` members. Undefined: that
   * state is not known any more. Rejects with what the store says.
   */
  changesSince(token: string, path: readonly FileName[], limit: number): Promise<SyncChanges | undefined>;
}

export interface SyncChanges {
  /** Each at most once: paths from the root. Whether something is there now is looked up afterwards. */
  readonly paths: readonly (readonly FileName[])[];
  /** Names the state up to which they tell. */
  readonly token: string;
  /** There is more: to be asked for with `token`. */
  readonly isCut: boolean;
}
