/** How much room a portion has left, and which files of a directory go into it. */
import type { FileName } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { DiskEntry, DiskStat } from "../disk/disk.ts";
import type { Most } from "./walk.ts";

export class PortionRoom {
  readonly #limits: Most;
  readonly #units: UnitRules;
  #things = 0;
  #bytes = 0;
  #hasFiles = false;
  #isFull = false;

  /** A portion's last file may exceed the bytes that are left. */
  constructor(limits: Most, units: UnitRules) {
    this.#limits = limits;
    this.#units = units;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  take({ type, size }: DiskStat): void {
    const { things, bytes } = this.#limits;
    this.#things++;
    this.#hasFiles ||= type !== "directory";
    this.#bytes += type === "file" ? size : 0;
    this.#isFull = this.#things >= things || this.#bytes >= bytes;
  }

  /**
   * Which of these files of one directory go now; the caller takes each before asking for the next. They are kept together
   * where possible, as related files share a directory. `isWhole`: all of them go.
   */
  *fitting(files: readonly DiskEntry[], isWhole: boolean): Generator<DiskEntry> {
    const bytes = files.reduce((sum, { stat }) => sum + stat.size, 0);
    const isFitting = this.#things + files.length <= this.#limits.things && this.#bytes + bytes <= this.#limits.bytes;
    if (isFitting || isWhole) return yield* files;
    this.#isFull ||= this.#hasFiles && files.length > 0;
    const begun = new Set<FileName>();
    for (const entry of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const mains = this.#units.mainsOf(entry.name);
      if (this.#isFull && !mains.some((main) => begun.has(main))) continue;
      yield entry;
      for (const main of mains) begun.add(main);
    }
  }
}
