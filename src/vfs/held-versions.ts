/**
 * Files that programs have open to write in place, or run: each stays as the program saw it, or as it was published from
 * here, until it is closed, whatever others change. What the program writes is then merged as a change of that version, and
 * does not mix with theirs. In memory only: an agent that restarts knows of a file once it is written again.
 */
import { type FileId, type Ino, ROOT_ID, ROOT_INO } from "../base/ids.ts";
import type { BaseChange, NewBase, PublishedEpoch } from "../fstree/change-set.ts";
import type { Units } from "../format/commits/policy.ts";
import { changedSince } from "../overlay/settle.ts";
import { contentInUse, type ContentInUse } from "../overlay/contents-in-use.ts";
import type { BaseName } from "../overlay/dirty-object.ts";
import { partsOfUnits } from "../overlay/dirty-units.ts";
import type { Link } from "../overlay/links.ts";
import type { OverlayState } from "../overlay/state.ts";
import { cleanFile, type CleanObject } from "./clean-object.ts";

export interface HeldVersion {
  readonly object: CleanObject;
  /** At least one. */
  readonly names: readonly BaseName[];
  /** Whether others changed the file since. */
  isOld: boolean;
  /** Whether its names are held, too, with those of the whole unit. */
  readonly isWhole: boolean;
}

export class HeldVersions {
  readonly #state: OverlayState;
  readonly #inos = new Set<Ino>();
  /** Those without unpublished changes. */
  readonly #versions = new Map<Ino, HeldVersion>();
  readonly #byId = new Map<FileId, HeldVersion>();

  constructor(state: OverlayState) {
    this.#state = state;
  }

  /** How many versions are held. */
  get size(): number {
    return this.#versions.size;
  }

  of(ino: Ino): HeldVersion | undefined {
    return this.#versions.size === 0 ? undefined : this.#versions.get(ino);
  }

  /** All files that are held. */
  get inUse(): ReadonlySet<Ino> {
    return this.#inos;
  }

  hasId(id: FileId): boolean {
    return this.#byId.has(id);
  }

  /** Whether the object is held under other names than this one alone. */
  isElsewhere(id: FileId, { parent, name }: BaseName): boolean {
    const version = this.#byId.size === 0 ? undefined : this.#byId.get(id);
    return version?.isWhole === true && !version.names.some((held) => held.parent === parent && held.name === name);
  }

  /** `now`: the file, unless it has unpublished changes. */
  hold(ino: Ino, now: CleanObject | undefined): void {
    this.#inos.add(ino);
    if (now?.place === undefined || now.record.type !== "file" || this.#versions.has(ino)) return;
    this.put({ object: now, names: [now.place], isOld: false, isWhole: false });
  }

  /** It is held no longer. */
  closed(ino: Ino): void {
    this.#inos.delete(ino);
  }

  /** The file shows its base, or is a changed object on this version. Returns the version. */
  drop(ino: Ino): HeldVersion | undefined {
    const version = this.of(ino);
    if (version === undefined) return undefined;
    this.#versions.delete(ino);
    this.#byId.delete(version.object.id);
    return version;
  }

  /** The epoch's versions of held files that did not change again. Call before the overlay drops them. */
  publishedBy({ epoch, objects }: PublishedEpoch): HeldVersion[] {
    const found: HeldVersion[] = [];
    const { inFlight } = this.#state;
    const wanted = new Set([...this.#inos].filter((ino) => inFlight?.objects.has(ino)));
    for (const [ino, { id, record, names }] of wanted.size === 0 ? [] : objects) {
      if (!wanted.delete(ino) || record.type !== "file" || changedSince(this.#state, ino, epoch)) continue;
      const object = cleanFile(ino, id, record, names[0], names.length);
      found.push({ object, names, isOld: false, isWhole: false });
      // Reading the rest would take time.
      if (wanted.size === 0) break;
    }
    return found;
  }

  /** Contents of which the base may have others. */
  contents(): ContentInUse[] {
    return [...this.#versions.values()].flatMap(({ object: { id, record }, names, isOld }) =>
      isOld ? contentInUse(id, names[0], record.content, record.size) : [],
    );
  }

  /** Call once the overlay has dropped them. Those among `changed` that stand for another object now show that. */
  add(versions: readonly HeldVersion[], changed: readonly Ino[]): void {
    const { inodes } = this.#state;
    for (const ino of changed) {
      const id = this.of(ino)?.object.id;
      if (id !== undefined && (inodes.row(ino)?.id ?? id) !== id) this.drop(ino);
    }
    for (const version of versions) {
      const { ino, id } = version.object;
      if (this.#state.object(ino) === undefined && inodes.row(ino)?.id === id) this.put(version);
    }
  }

  /** Notes what others changed of the held files. Parts of `units` that are not held as a whole show the new base now. */
  note({ changes }: NewBase, units: Units | undefined): void {
    if (this.#versions.size === 0) return;
    if (changes === undefined) for (const version of this.#versions.values()) version.isOld = true;
    for (const change of changes ?? []) {
      for (const id of idsOf(change)) {
        const version = this.#byId.get(id);
        if (version !== undefined) version.isOld = true;
      }
    }
    const isPart = partsOfUnits(this.#state, units ?? NO_UNITS);
    for (const { object, names, isOld, isWhole } of this.#versions.values()) {
      const { ino } = object;
      if (isOld && !isWhole && isPart({ ino, type: "file", links: this.#linksOf(names), baseNames: names }))
        this.drop(ino);
    }
  }

  /** Holds this version. */
  put(version: HeldVersion): void {
    this.#versions.set(version.object.ino, version);
    this.#byId.set(version.object.id, version);
  }

  /** These names, as far as their directories are known here. */
  #linksOf(names: readonly BaseName[]): Link[] {
    const { inodes } = this.#state;
    return names.flatMap(({ parent, name }) => {
      const ino = parent === ROOT_ID ? ROOT_INO : (this.#state.dirtyWithId(parent)?.ino ?? inodes.find(parent)?.ino);
      return ino === undefined ? [] : [{ parent: ino, name }];
    });
  }
}

const NO_UNITS: Units = { trees: [], families: [] };

function idsOf(change: BaseChange): FileId[] {
  if (change.kind === "self") return [change.id];
  return [change.before, change.after].filter((id) => id !== undefined);
}
