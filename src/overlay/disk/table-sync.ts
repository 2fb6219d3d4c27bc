/**
 * Makes the tables' changes survive power loss. After a failed sync the system may keep them in memory as if they were
 * written, and no later sync writes them: so they are written again before the next one counts.
 */
import { SharedRun } from "../../base/shared-run.ts";
import type { StateTables } from "./storage.ts";

export class TableSync {
  readonly #tables: StateTables;
  readonly #runs: SharedRun;
  /** True at first, because a sync of an earlier process may have failed. */
  #isDoubtful = true;

  constructor(tables: StateTables) {
    this.#tables = tables;
    this.#runs = new SharedRun(() => this.#run());
  }

  /** Resolves when everything applied before this call is durable. Rejects with `disk_full`, `store_failed`. */
  run(): Promise<void> {
    return this.#runs.run();
  }

  async #run(): Promise<void> {
    if (this.#isDoubtful) this.#tables.rewrite();
    this.#isDoubtful = true;
    await this.#tables.sync();
    try {
      this.#tables.compact();
      this.#isDoubtful = false;
    } catch {
      // What was applied is durable anyway. The next run tries again; this fails on a full disk, for example.
    }
  }
}
