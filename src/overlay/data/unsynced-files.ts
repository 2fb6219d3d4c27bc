/** Data files written to since their last sync, by inode. */
import type { Ino } from "../../base/ids.ts";

interface Written {
  /** Nearly always one. */
  names: readonly string[];
  /** All unsynced bytes are in [from, to). */
  from: number;
  to: number;
  /** Increases with each write. */
  stamp: number;
}

/** Bytes [from, to). */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The unsynced files at one moment. */
export interface Unsynced {
  /** By name, with a span of the inodes' bytes that has all unsynced ones. */
  readonly names: ReadonlyMap<string, Span>;
  readonly stamps: ReadonlyMap<Ino, number>;
}

export class UnsyncedFiles {
  readonly #files = new Map<Ino, Written>();
  #stamp = 0;
  /** The last file's name as a list: many inodes share one. */
  #names: readonly string[] = [];

  has(ino: Ino): boolean {
    return this.#files.has(ino);
  }

  inos(): Ino[] {
    return [...this.#files.keys()];
  }

  /** Whether some of the bytes [from, to) may be unsynced. */
  meets(ino: Ino, from: number, to: number): boolean {
    const written = this.#files.get(ino);
    return written !== undefined && from < written.to && written.from < to;
  }

  /** The bytes [from, to) of the inode were written to this file. */
  note(ino: Ino, name: string, from: number, to: number): void {
    const stamp = ++this.#stamp;
    const written = this.#files.get(ino);
    if (written === undefined) {
      if (this.#names[0] !== name) this.#names = [name];
      this.#files.set(ino, { names: this.#names, from, to, stamp });
      return;
    }
    if (!written.names.includes(name)) written.names = [...written.names, name];
    written.from = Math.min(written.from, from);
    written.to = Math.max(written.to, to);
    written.stamp = stamp;
  }

  /** The unsynced writes of these inodes so far; pass it to `settle` once they are synced. */
  mark(inos: Iterable<Ino>): Unsynced {
    const names = new Map<string, Span>();
    const stamps = new Map<Ino, number>();
    for (const ino of inos) {
      const written = this.#files.get(ino);
      for (const name of written?.names ?? [])
        if (written !== undefined) names.set(name, around(written, names.get(name)));
      if (written !== undefined) stamps.set(ino, written.stamp);
    }
    return { names, stamps };
  }

  /** The marked files are synced. Inodes written to since the mark stay unsynced. */
  settle({ stamps }: Unsynced): void {
    for (const [ino, stamp] of stamps) if (this.#files.get(ino)?.stamp === stamp) this.#files.delete(ino);
  }

  /** This file of the inode, or all of its files, are no longer needed. */
  forget(ino: Ino, name?: string): void {
    if (name === undefined) this.#files.delete(ino);
    else {
      const written = this.#files.get(ino);
      if (written !== undefined) written.names = written.names.filter((each) => each !== name);
    }
  }
}

/** A span that covers both. */
export function around({ from, to }: Span, other: Span = { from, to }): Span {
  return { from: Math.min(from, other.from), to: Math.max(to, other.to) };
}
