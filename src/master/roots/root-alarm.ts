/**
 * Owners whose garbage is not collected because the table of roots is older than their indexes: it was lost, or restored
 * from an old copy. Blocks that only the newer roots reach would look like garbage.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import type { Log } from "../../base/log.ts";

export class RootAlarm {
  readonly owners = new Set<Wallet>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  raise(wallet: Wallet, buckets: readonly string[]): void {
    if (this.owners.has(wallet)) return;
    this.owners.add(wallet);
    this.#log.error("the table of roots was rolled back: nothing of this owner is collected", {
      wallet,
      buckets: buckets.join(", "),
    });
  }

  clear(wallet: Wallet): void {
    this.owners.delete(wallet);
  }
}

/** The warning that collection is off for an owner. */
export function wentBack(buckets: readonly string[]): SynclineError {
  return new SynclineError(
    "root_rolled_back",
    `The table of roots is older than the last known state of ${buckets.join(", ")}. The owner's garbage stays.`,
    { hint: ROOTS_HINT },
  );
}

/** What a person can do about a rolled-back table of roots. */
export const ROOTS_HINT =
  "Restore the newest copy of roots.db. To accept the current one, start once with `syncline serve --accept-roots`. Blocks that only lost roots reached then become garbage.";
