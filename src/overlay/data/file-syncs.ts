/**
 * Syncs data files. After a sync fails, the system may keep bytes in memory as if they were written. The next sync then
 * succeeds without them, even for a caller that was waiting for it. So those bytes are written again before a sync counts.
 */
import type { OpenDataFiles } from "./open-files.ts";
import { around, type Span } from "./unsynced-files.ts";

export class FileSyncs {
  readonly #open: OpenDataFiles;
  /** Files whose sync failed, and which of their bytes must be written again. */
  readonly #doubtful = new Map<string, Span>();
  #failures = 0;

  constructor(open: OpenDataFiles) {
    this.#open = open;
  }

  /** Makes these bytes of the file survive power loss; false if it no longer exists. Rejects with `store_failed`. */
  async sync(name: string, span: Span): Promise<boolean> {
    if (this.#doubtful.has(name)) await this.#rewrite(name);
    const before = this.#failures;
    try {
      const exists = await this.#open.sync(name);
      if (this.#failures === before) return exists;
    } catch (error) {
      this.#failures++;
      this.#doubtful.set(name, around(span, this.#doubtful.get(name)));
      // At once, while the system has them; the next sync tries again.
      await this.#rewrite(name).catch(() => {});
      throw error;
    }
    return this.sync(name, span);
  }

  /** The file is no longer needed. */
  forget(name: string): void {
    this.#doubtful.delete(name);
  }

  async #rewrite(name: string): Promise<void> {
    const span = this.#doubtful.get(name);
    if (span !== undefined) await this.#open.rewrite(name, span);
    this.#doubtful.delete(name);
  }
}
