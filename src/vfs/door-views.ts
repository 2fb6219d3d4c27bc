/**
 * Several doors on one filesystem, each with its own view. Changes made through one door are reported to the doors that
 * keep copies (the kernel, for FUSE). An inode without a name stays until the last door that was told of it releases it; so
 * does the version of a file that doors hold.
 */
import type { Ino } from "../base/ids.ts";
import type { FileSystem, Invalidations } from "./filesystem.ts";
import { overriding } from "./overriding.ts";
import { ReportedNames, telling } from "./telling.ts";

export interface DoorView extends Disposable {
  readonly fs: FileSystem;
}

interface Door {
  /** Undefined for a door that keeps no copies. */
  readonly heard: ((changes: Invalidations) => void) | undefined;
  readonly told: ReportedNames;
  orphaned: ((ino: Ino) => void) | undefined;
  /** The files whose versions it holds. */
  readonly held: Set<Ino>;
}

export class DoorViews {
  readonly #fs: FileSystem;
  readonly #doors = new Set<Door>();
  /** Inodes without a name, and the doors that may still use them. */
  readonly #orphans = new Map<Ino, Set<Door>>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
    fs.watchOrphans((ino) => this.#orphaned(ino));
  }

  /**
   * Opens a view for one more door. Disposing it releases its inodes. `heard` receives the changes of other doors when they
   * commit them, and so before they answer.
   */
  open(heard?: (changes: Invalidations) => void): DoorView {
    const door: Door = { heard, told: new ReportedNames(), orphaned: undefined, held: new Set() };
    this.#doors.add(door);
    const fs = overriding(this.#fs, {
      ...telling(this.#fs, door.told, {
        // Doors come and go: listeners are looked up for each report.
        others: (changes) => this.#tell(door, changes),
        self: (changes) => heard?.(changes),
        hasOthers: () => [...this.#doors].some((other) => other !== door && other.heard !== undefined),
      }),
      watchOrphans: (listener) => {
        door.orphaned = listener;
        for (const [ino, holders] of this.#orphans) {
          holders.add(door);
          listener(ino);
        }
      },
      forget: (ino) => this.#forget(door, ino),
      holdVersion: (ino) => {
        const isHeld = this.#fs.holdVersion(ino);
        door.held.add(ino);
        return isHeld;
      },
      releaseVersion: (ino) => {
        door.held.delete(ino);
        if (![...this.#doors].some(({ held }) => held.has(ino))) this.#fs.releaseVersion(ino);
      },
      watchReaders: (readers, earlier) => {
        for (const ino of earlier?.held ?? []) door.held.add(ino);
        const held = new Set<Ino>();
        for (const each of this.#doors) for (const ino of each.held) held.add(ino);
        this.#fs.watchReaders(readers, earlier && { ...earlier, held });
      },
    });
    return { fs, [Symbol.dispose]: () => this.#close(door) };
  }

  #tell(from: Door, changes: Invalidations): void {
    for (const door of this.#doors) {
      if (door === from || door.heard === undefined) continue;
      door.told.note(changes);
      door.heard(changes);
    }
  }

  #orphaned(ino: Ino): void {
    const holders = new Set([...this.#doors].filter(({ orphaned }) => orphaned !== undefined));
    this.#orphans.set(ino, holders);
    for (const door of holders) door.orphaned?.(ino);
  }

  #forget(door: Door, ino: Ino): void {
    const holders = this.#orphans.get(ino);
    holders?.delete(door);
    if (holders !== undefined && holders.size > 0) return;
    this.#orphans.delete(ino);
    this.#fs.forget(ino);
  }

  #close(door: Door): void {
    this.#doors.delete(door);
    for (const [ino, holders] of this.#orphans) if (holders.has(door)) this.#forget(door, ino);
  }
}
