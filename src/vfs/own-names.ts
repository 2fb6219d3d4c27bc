/** Names that lead elsewhere than in the base: those of local changes, and those of databases in use (held-units.ts). */
import type { FileId, FileName, Ino } from "../base/ids.ts";
import type { OverlayState } from "../overlay/state.ts";
import type { HeldUnits } from "./held-units.ts";

export class OwnNames {
  readonly #state: OverlayState;
  readonly #heldUnits: HeldUnits;

  constructor(state: OverlayState, heldUnits: HeldUnits) {
    this.#state = state;
    this.#heldUnits = heldUnits;
  }

  /** What the name leads to. Undefined: what the base says. `id`: the directory's id in the base, if it has one. */
  at(directory: Ino, id: FileId | undefined, name: FileName): Ino | "nothing" | undefined {
    const changed = this.#state.entry(directory, name);
    if (changed !== undefined) return changed;
    const held = this.#heldUnits.at(directory, name);
    if (held !== undefined) return held.object?.ino ?? "nothing";
    return id === undefined || this.#state.hides(id, name) ? "nothing" : undefined;
  }

  /** The directory's own names that lead to something, in no order. */
  in(directory: Ino): FileName[] {
    return [...(this.#state.entries(directory)?.keys() ?? []), ...this.#heldUnits.namesIn(directory)];
  }

  hasAny(directory: Ino): boolean {
    return (this.#state.entries(directory)?.size ?? 0) > 0 || this.#heldUnits.namesIn(directory).length > 0;
  }
}
