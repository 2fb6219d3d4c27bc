/**
 * Inodes whose bytes must be durable before the journal is: those that took over another's name. If a sync of one fails,
 * everything waits for one more try. After that only its own fsyncs fail: publishing, which brings its bytes to safety,
 * needs the journal.
 */
import type { Ino } from "../../base/ids.ts";
import { SharedRun } from "../../base/shared-run.ts";

export class EagerInodes {
  readonly #sync: (ino: Ino) => Promise<void>;
  readonly #waiting = new Set<Ino>();
  /** Their last sync failed. */
  readonly #failed = new Set<Ino>();
  readonly #runs = new SharedRun(() => this.#run());

  constructor(sync: (ino: Ino) => Promise<void>) {
    this.#sync = sync;
  }

  /** Whether `run` has nothing to do or to wait for. */
  get isDone(): boolean {
    return this.#waiting.size === 0 && !this.#runs.active;
  }

  add(ino: Ino): void {
    this.#waiting.add(ino);
  }

  /** The inode's bytes are no longer needed. */
  forget(ino: Ino): void {
    this.#failed.delete(ino);
  }

  /** Syncs them. Rejects as the first sync that fails and will be tried again. */
  async run(): Promise<void> {
    if (!this.isDone) await this.#runs.run();
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const inos = [...this.#waiting];
      this.#waiting.clear();
      const results = await Promise.allSettled(inos.map((ino) => this.#try(ino)));
      for (const result of results) if (result.status === "rejected") throw result.reason;
    }
  }

  async #try(ino: Ino): Promise<void> {
    try {
      await this.#sync(ino);
      this.#failed.delete(ino);
    } catch (error) {
      if (this.#failed.has(ino)) return;
      this.#failed.add(ino);
      this.#waiting.add(ino);
      throw error;
    }
  }
}
