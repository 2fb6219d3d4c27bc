/**
 * Cuts the beginning of a large file while it is rewritten, exactly as `editContent` would once it is complete: the flush after
 * its close takes half the time, while on busy cores the program writes a quarter more slowly. Storing a new file reads it
 * anyway. While such a file alone is written, flushes wait: they would publish half a file, or later writes before it.
 */
import type { Cid } from "../base/ids.ts";
import type { ListEntry } from "../format/files/chunk-list.ts";
import { Chunker, type KnownChunks } from "./chunker.ts";
import { type ContentConfig, cutRule } from "./config.ts";
import { EarlyCuts } from "./early-cuts.ts";
import { OldChunks } from "./old-chunks.ts";
import type { ContentSource } from "./source.ts";

export class EarlyCutter {
  readonly cuts: EarlyCuts;
  readonly #chunker: Chunker;
  readonly #old: OldChunks;

  /** `root`: the file's old chunk list, of `size` bytes. Cuts fit only if the new size falls under the same rule. */
  constructor(source: ContentSource, config: ContentConfig, root: Cid, size: number) {
    const rule = cutRule(config, size);
    this.#old = new OldChunks(source, root, size, rule.max);
    this.cuts = new EarlyCuts(config, rule, root);
    this.#chunker = new Chunker(config, rule, 0, new Noting(this.cuts, this.#old));
  }

  /** Prepares for `length` more bytes. Rejects as the source does. */
  async prepare(length: number): Promise<void> {
    await this.#old.prepare(length);
  }

  /** Takes the bytes that follow `cuts.read`. */
  push(bytes: Uint8Array): void {
    this.cuts.read += bytes.length;
    this.#chunker.push(bytes);
    this.cuts.oldAt = this.#old.at;
  }
}

/** Records each piece instead of its bytes. */
class Noting implements KnownChunks {
  readonly #cuts: EarlyCuts;
  readonly #old: OldChunks;

  constructor(cuts: EarlyCuts, old: OldChunks) {
    this.#cuts = cuts;
    this.#old = old;
  }

  get length(): number | undefined {
    return this.#old.length;
  }

  recognise(bytes: Uint8Array): ListEntry | undefined {
    const entry = this.#old.recognise(bytes);
    if (entry !== undefined) this.#cuts.add(entry, true);
    return entry;
  }

  found(bytes: Uint8Array): { readonly cid: Cid; readonly old: ListEntry } {
    const { cid, old } = this.#old.found(bytes);
    const entry = old ?? { cid, length: bytes.length, dataLength: bytes.length };
    this.#cuts.add(entry, old !== undefined);
    return { cid, old: entry };
  }

  passed(length: number): void {
    this.#old.passed(length);
    this.#cuts.add({ cid: undefined, length, dataLength: 0 }, false);
  }
}
