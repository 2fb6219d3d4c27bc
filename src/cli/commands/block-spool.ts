/** Blocks in a temporary file. The file is unlinked at once if possible, so that it disappears however the process ends. */
import { mkdtemp, open, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Cid } from "../../base/ids.ts";
import type { Block } from "../../blocks/block-store.ts";
import { readUpTo, writeParts } from "../../objects/disk.ts";

export class BlockSpool implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #folder: string;
  readonly #places = new Map<Cid, { readonly offset: number; readonly length: number }>();
  #end = 0;

  private constructor(file: FileHandle, folder: string) {
    this.#file = file;
    this.#folder = folder;
  }

  /** Throws as the system does. */
  static async open(parent: string): Promise<BlockSpool> {
    const folder = await mkdtemp(join(parent, "mend-"));
    const file = await open(join(folder, "blocks"), "wx+", 0o600);
    // Windows cannot remove open files, and network filesystems rename them: there it is removed when closed.
    if (process.platform !== "win32") await rm(folder, { recursive: true }).catch(() => {});
    return new BlockSpool(file, folder);
  }

  get cids(): readonly Cid[] {
    return [...this.#places.keys()];
  }

  /** Throws as the system does: the block is then not kept. */
  async put({ cid, bytes }: Block): Promise<void> {
    const place = { offset: this.#end, length: bytes.length };
    await writeParts(this.#file, place.offset, [bytes]);
    this.#places.set(cid, place);
    this.#end += bytes.length;
  }

  async getMany(cids: readonly Cid[]): Promise<Map<Cid, Uint8Array>> {
    const found = new Map<Cid, Uint8Array>();
    for (const cid of cids) {
      const place = this.#places.get(cid);
      if (place !== undefined) found.set(cid, await readUpTo(this.#file, place.offset, place.length));
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
