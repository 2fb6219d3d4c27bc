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
  readonly #arbiter: string | undefined;

  /** `arbiter`: its address; undefined: a data folder's own table. */
  constructor(log: Log, arbiter?: string) {
    this.#log = log;
    this.#arbiter = arbiter;
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

  /** The warning that collection is off for an owner. */
  wentBack(buckets: readonly string[]): SynclineError {
    return new SynclineError(
      "root_rolled_back",
      `The table of roots is older than the last known state of ${buckets.join(", ")}. The owner's garbage stays.`,
      { hint: rootsHint(this.#arbiter) },
    );
  }
}

/** What a person can do about a rolled-back table of roots. `arbiter`: as of RootAlarm. Does not name it: owners may see this. */
export function rootsHint(arbiter: string | undefined): string {
  const [newer, once] = /^postgres(ql)?:/.test(arbiter ?? "")
    ? IN_POSTGRES
    : arbiter === undefined
      ? IN_FOLDER
      : IN_FILE;
  return `${newer} To accept the current one, ${once} with \`syncline serve --accept-roots\`. Blocks that only lost roots reached then become garbage.`;
}

const IN_FOLDER = ["Restore the newest copy of roots.db.", "start once"];
const IN_FILE = ["Restore the newest copy of the arbiter's file.", "start once"];
const IN_POSTGRES = [
  "Restore PostgreSQL's newest backup, or merge newer roots back on the machines that have them: `syncline mount URL DIR --accept`.",
  "restart each master once",
];
