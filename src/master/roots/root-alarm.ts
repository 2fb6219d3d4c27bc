/**
 * Owners of whom nothing is collected, since the table of roots went back behind what their indexes know: it was lost, or is an older copy.
 * What only the newer roots reach would look like garbage.
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
    this.#log.error("the table of roots went back: nothing of this owner is collected", {
      wallet,
      buckets: buckets.join(", "),
    });
  }

  clear(wallet: Wallet): void {
    this.owners.delete(wallet);
  }
}

/** That nothing of an owner is collected. */
export function wentBack(buckets: readonly string[]): SynclineError {
  return new SynclineError(
    "root_rolled_back",
    `The table of roots is older than what was known of ${buckets.join(", ")}: nothing of the owner is collected.`,
    { hint: ROOTS_HINT },
  );
}

/** What a person can do about a table of roots that went back. */
export const ROOTS_HINT =
  "Put back the newest copy of roots.db. If what is there is to count, start once with `syncline serve --accept-roots`: what only lost roots reached is garbage then.";
