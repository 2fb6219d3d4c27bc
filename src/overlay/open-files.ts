/** Data files that are open: at most so many, the least recently used closed first, none while it is being synced. */
import { SynclineError } from "../base/errors.ts";
import { SharedSync } from "./shared-sync.ts";
import type { OverlayStorage, StoredFile } from "./storage.ts";

interface OpenFile {
  readonly file: StoredFile;
  readonly sync: SharedSync;
}

export class OpenDataFiles {
  readonly #storage: OverlayStorage;
  readonly #capacity: number;
  readonly #open = new Map<string, OpenFile>();

  constructor(storage: OverlayStorage, capacity: number) {
    this.#storage = storage;
    this.#capacity = capacity;
  }

  /** The file, made when it is not there. To be used at once: the next call may close it. */
  file(name: string): StoredFile {
    const opened = this.#get(name, true);
    if (opened === undefined) throw new SynclineError("internal", "A data file was not made.");
    return opened.file;
  }

  /** Makes the file's bytes survive power loss, if it is there still. All who wait for one file share its syncs. */
  async sync(name: string): Promise<void> {
    await this.#get(name, false)?.sync.run();
  }

  /** Makes the file's bytes survive power loss before it returns. */
  syncNow(name: string): void {
    this.#get(name, false)?.file.syncNow();
  }

  /** The file will not be used any more. */
  forget(name: string): void {
    const opened = this.#open.get(name);
    this.#open.delete(name);
    if (opened !== undefined) closeWhenIdle(opened);
  }

  close(): void {
    for (const opened of this.#open.values()) closeWhenIdle(opened);
    this.#open.clear();
  }

  #get(name: string, make: boolean): OpenFile | undefined {
    const known = this.#open.get(name);
    if (known !== undefined) {
      this.#open.delete(name);
      this.#open.set(name, known);
      return known;
    }
    const file = this.#storage.openFile("data", name, make);
    if (file === undefined) return undefined;
    if (this.#open.size >= this.#capacity) this.#closeOldest();
    const opened = { file, sync: new SharedSync(() => file.sync()) };
    this.#open.set(name, opened);
    return opened;
  }

  #closeOldest(): void {
    for (const [name, { file, sync }] of this.#open) {
      if (sync.active) continue;
      file.close();
      this.#open.delete(name);
      return;
    }
  }
}

function closeWhenIdle({ file, sync }: OpenFile): void {
  if (!sync.active) file.close();
  else
    sync.idle().then(
      () => file.close(),
      () => file.close(),
    );
}
