/**
 * Syncs data files. After a sync fails, the system may keep bytes in memory as if they were written. The next sync then
 * succeeds without them, even for a caller that was waiting for it. So those bytes are written again before a sync counts.
 */
import type { OpenDataFiles } from "./open-files.ts";
import type { Span } from "./unsynced-files.ts";

export class FileSyncs {
  readonly #open: OpenDataFiles;
  /** Files of which a sync failed, and which failure was the last. */
  readonly #failed = new Map<string, number>();
  #failures = 0;

  constructor(open: OpenDataFiles) {
    this.#open = open;
  }

  /**
   * Makes the file's bytes in `span` survive power loss; false if it no longer exists. `span` has all that was written since
   * the last sync that succeeded. Rejects with `store_failed`.
   */
  async sync(name: string, span: Span): Promise<boolean> {
    const first = this.#failed.get(name);
    for (let before = first; ; before = this.#failed.get(name)) {
      if (before !== undefined) await this.#open.rewrite(name, span);
      const exists = await this.#sync(name, span);
      if (this.#failed.get(name) !== before) continue;
      // What was written between this call and a later failure is not in its span: the next call writes it again.
      if (before === first) this.#failed.delete(name);
      return exists;
    }
  }

  /** The file is no longer needed. */
  forget(name: string): void {
    this.#failed.delete(name);
  }

  async #sync(name: string, span: Span): Promise<boolean> {
    try {
      return await this.#open.sync(name);
    } catch (error) {
      this.#failed.set(name, ++this.#failures);
      // At once, while the system has them; the next sync tries again.
      await this.#open.rewrite(name, span).catch(() => {});
      throw error;
    }
  }
}
