/** A file of a simulated disk: what was written, and how much of it survives power loss. */
import type { Random } from "../../base/random.ts";

/** A write, or a new size. */
type Unsynced = { readonly offset: number; readonly bytes: Uint8Array } | { readonly size: number };

export class SimulatedInode {
  bytes: Uint8Array;
  size: number;
  /** The contents as of the last sync. */
  #durable: Uint8Array;
  #unsynced: Unsynced[] = [];
  #forgot = false;

  constructor(bytes: Uint8Array = new Uint8Array()) {
    this.bytes = bytes;
    this.size = bytes.length;
    this.#durable = bytes.slice();
  }

  write(offset: number, bytes: Uint8Array): void {
    // A Buffer's slice would share memory that the writer reuses.
    this.#unsynced.push({ offset, bytes: new Uint8Array(bytes) });
    this.bytes = written(this.bytes, offset, bytes);
    this.size = Math.max(this.size, offset + bytes.length);
  }

  truncate(size: number): void {
    this.#unsynced.push({ size });
    this.bytes = resized(this.bytes.subarray(0, this.size), size);
    this.size = size;
  }

  sync(): void {
    this.#durable = this.#forgot ? this.#after(() => 1) : this.bytes.slice(0, this.size);
    this.#unsynced = [];
  }

  /**
   * Simulates a failed sync: writes since the last one stay in memory only but count as written out, so that no later sync
   * writes them.
   */
  forget(): void {
    this.#unsynced = [];
    this.#forgot = true;
  }

  copy(): SimulatedInode {
    const copy = new SimulatedInode(this.bytes.slice(0, this.size));
    copy.#durable = this.#durable;
    copy.#unsynced = [...this.#unsynced];
    copy.#forgot = this.#forgot;
    return copy;
  }

  /** Each unsynced write is there, missing, or partial. */
  torn(random: Random): SimulatedInode {
    return new SimulatedInode(
      this.#after(() => {
        const chance = random.fraction();
        if (chance < 0.4) return 0;
        return chance < 0.6 ? random.fraction() : 1;
      }),
    );
  }

  /** The durable contents, with the part of each later change that `part` returns: 0 for none, 1 for all. */
  #after(part: () => number): Uint8Array {
    let bytes: Uint8Array = this.#durable.slice();
    let { length } = bytes;
    for (const change of this.#unsynced) {
      const share = part();
      if (share === 0) continue;
      if ("size" in change) {
        bytes = resized(bytes.subarray(0, length), change.size);
        length = change.size;
        continue;
      }
      const kept = change.bytes.subarray(0, Math.floor(change.bytes.length * share));
      bytes = written(bytes, change.offset, kept);
      length = Math.max(length, change.offset + kept.length);
    }
    return bytes.slice(0, length);
  }
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
}

function written(bytes: Uint8Array, offset: number, part: Uint8Array): Uint8Array {
  const end = offset + part.length;
  let target = bytes;
  if (end > bytes.length) {
    target = new Uint8Array(Math.max(end, Math.min(2 * bytes.length, end + 1024 * 1024)));
    target.set(bytes);
  }
  target.set(part, offset);
  return target;
}
