/**
 * Names that lead elsewhere than in the base: those of local changes, and those of databases in use (held-units.ts,
 * lost-families.ts).
 */
import type { FileId, FileName, Ino } from "../base/ids.ts";
import type { OverlayState } from "../overlay/state.ts";
import type { HeldUnits } from "./held-units.ts";
import type { LostFamilies } from "./lost-families.ts";

interface ObjectAccess {
  readonly overlay: { readonly state: OverlayState };
  readonly heldUnits: HeldUnits;
  readonly lostFamilies: LostFamilies;
  child(parent: Ino, name: FileName): Ino | undefined;
}

export class OwnNames {
  readonly #objects: ObjectAccess;
  readonly #state: OverlayState;
  readonly #heldUnits: HeldUnits;
  readonly #lostFamilies: LostFamilies;

  constructor(objects: ObjectAccess) {
    this.#objects = objects;
    this.#state = objects.overlay.state;
    this.#heldUnits = objects.heldUnits;
    this.#lostFamilies = objects.lostFamilies;
  }

  /**
   * What the name leads to. Undefined: what the base says. `id`: the directory's id in the base, if it has one. Throws
   * BlockMiss.
   */
  at(directory: Ino, id: FileId | undefined, name: FileName): Ino | "nothing" | undefined {
    const place = this.#lostFamilies.placeOf(directory, name);
    if (place !== undefined) return this.#objects.child(place.parent, place.name) ?? "nothing";
    const changed = this.#state.entry(directory, name);
    if (changed !== undefined) return changed;
    const held = this.#heldUnits.at(directory, name);
    if (held !== undefined) return held.object?.ino ?? "nothing";
    return id === undefined || this.#state.hides(id, name) ? "nothing" : undefined;
  }

  /** The directory's own names, in no order: all that lead to something, and maybe some that do not. */
  in(directory: Ino): FileName[] {
    const names = [
      ...(this.#state.entries(directory)?.keys() ?? []),
      ...this.#heldUnits.namesIn(directory),
      ...this.#lostFamilies.namesIn(directory),
    ];
    return [...new Set(names)];
  }

  hasAny(directory: Ino): boolean {
    if ((this.#state.entries(directory)?.size ?? 0) > 0 || this.#heldUnits.namesIn(directory).length > 0) return true;
    return this.#lostFamilies.namesIn(directory).some((name) => this.at(directory, undefined, name) !== "nothing");
  }
}
