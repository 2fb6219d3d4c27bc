/**
 * Reads an epoch's small files ahead, many at a time if the disk can: opening, checking, reading and closing each by itself
 * takes longer than all further work on its bytes.
 */
import { groupBy } from "../../base/collections.ts";
import type { Ino } from "../../base/ids.ts";
import { SYNC_SMALL_BYTES } from "../../base/limits.ts";
import type { SyncDisk, WholeFile } from "../disk/disk.ts";
import type { Found } from "./walk.ts";

interface Batch {
  readonly files: readonly (readonly [Ino, Found])[];
  readonly next: Batch | undefined;
}

export class ReadAhead implements AsyncDisposable {
  readonly #disk: SyncDisk;
  readonly #batchOf = new Map<Ino, Batch>();
  /** Batches read or being read, oldest first. Each is read once. */
  readonly #read = new Map<Batch, Promise<Map<Ino, WholeFile>>>();

  constructor(disk: SyncDisk, sources: ReadonlyMap<Ino, Found>) {
    this.#disk = disk;
    if (disk.readAll === undefined) return;
    const small = [...sources].filter(([, { stat }]) => stat.size > 0 && stat.size <= SYNC_SMALL_BYTES);
    // An epoch's tree is built by directory, and within each by name.
    for (const files of groupBy(small, ([, { parent }]) => parent).values()) {
      files.sort(([, a], [, b]) => (a.name < b.name ? -1 : 1));
      this.#cut(files);
    }
  }

  /** The file as it is on the disk; ask for it once. Undefined: read it by itself. Rejects as the disk does. */
  async take(ino: Ino): Promise<WholeFile | undefined> {
    const batch = this.#batchOf.get(ino);
    if (batch === undefined) return undefined;
    this.#batchOf.delete(ino);
    const reading = this.#begin(batch);
    if (batch.next !== undefined) this.#begin(batch.next);
    const whole = (await reading).get(ino);
    (await reading).delete(ino);
    return whole;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#read.values());
  }

  #begin(batch: Batch): Promise<Map<Ino, WholeFile>> {
    const begun = this.#read.get(batch);
    if (begun !== undefined) return begun;
    const reading = this.#readBatch(batch);
    // Reported when a file of the batch is requested.
    reading.catch(() => {});
    this.#read.set(batch, reading);
    return reading;
  }

  async #readBatch({ files }: Batch): Promise<Map<Ino, WholeFile>> {
    const wanted = files.map(([, { path, stat }]) => ({ path, size: stat.size }));
    const whole = (await this.#disk.readAll?.(wanted)) ?? [];
    this.#forget();
    return new Map(
      files.flatMap(([ino], index) => {
        const file = whole[index];
        return file === undefined ? [] : [[ino, file] as const];
      }),
    );
  }

  /** Drops batches read long ago and never requested: the epoch has another order there. */
  #forget(): void {
    const old = [...this.#read.values()].slice(0, -BATCHES_KEPT);
    for (const reading of old) void reading.then((files) => files.clear()).catch(() => {});
  }

  #cut(files: readonly (readonly [Ino, Found])[]): void {
    const parts: (readonly [Ino, Found])[][] = [];
    let bytes = Infinity;
    for (const file of files) {
      const last = parts.at(-1);
      const { size } = file[1].stat;
      if (last === undefined || last.length >= BATCH_FILES || bytes + size > BATCH_BYTES) {
        parts.push([file]);
        bytes = size;
      } else {
        last.push(file);
        bytes += size;
      }
    }
    let next: Batch | undefined;
    for (const part of parts.toReversed()) {
      next = { files: part, next };
      for (const [ino] of part) this.#batchOf.set(ino, next);
    }
  }
}

const BATCH_FILES = 64;
const BATCH_BYTES = 1024 * 1024;
const BATCHES_KEPT = 4;
