/**
 * Versions of files that programs have open to write in place. Until it is closed, such a file stays as it was when
 * it was opened or last published from here, whatever others change. What the program writes next is merged as a change of
 * that version, so it never mixes with theirs.
 */
import type { FileId, Ino } from "../base/ids.ts";
import { idsOf, type NewBase, type PublishedEpoch } from "../fstree/change-set.ts";
import type { Units } from "../format/commits/policy.ts";
import { changedSince } from "../overlay/settle.ts";
import { contentInUse, type ContentInUse } from "../overlay/contents-in-use.ts";
import type { BaseName } from "../overlay/dirty-object.ts";
import { partsOfUnits } from "../overlay/dirty-units.ts";
import type { HeldFile } from "../overlay/in-use.ts";
import type { OverlayState } from "../overlay/state.ts";
import { cleanFile, type CleanObject } from "./clean-object.ts";

export interface HeldVersion {
  readonly object: CleanObject;
  readonly names: readonly BaseName[];
  /** Whether others have changed the file since. */
  isOld: boolean;
  /** Whether the file is held with its whole unit: then its names are held, too. */
  readonly isWhole: boolean;
}

export class HeldVersions {
  readonly #state: OverlayState;
  readonly #inos = new Set<Ino>();
  /** The versions of held files that have no unpublished changes. */
  readonly #versions = new Map<Ino, HeldVersion>();
  readonly #byId = new Map<FileId, HeldVersion>();
  /** Files held since before this process, of which the version is not known yet: it is the base's. */
  #unread = new Set<Ino>();
  /** Files of which an earlier process held an older version, which this one does not show. */
  readonly lost = new Set<Ino>();
  /** Those of them, or what may be some, that programs have open since: what they write would mix with other versions. */
  readonly stale = new Set<Ino>();

  constructor(state: OverlayState) {
    this.#state = state;
  }

  /** How many versions are held. */
  get size(): number {
    return this.#versions.size;
  }

  /** Whether others have changed a held file. */
  get isAnyOld(): boolean {
    for (const { isOld } of this.#versions.values()) if (isOld) return true;
    return false;
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

  /** Whether the object is held with its unit, and this is not one of the held names. */
  isElsewhere(id: FileId, { parent, name }: BaseName): boolean {
    const version = this.#byId.size === 0 ? undefined : this.#byId.get(id);
    return version?.isWhole === true && !version.names.some((held) => held.parent === parent && held.name === name);
  }

  /** `now`: the current version; undefined if the file has unpublished changes. */
  hold(ino: Ino, now: CleanObject | undefined): void {
    this.#inos.add(ino);
    if (now?.place === undefined || now.record.type !== "file" || this.#versions.has(ino)) return;
    this.put({ object: now, names: [now.place], isOld: false, isWhole: false });
  }

  /** As `hold`, since before this process. Call `readEarlier` before the base moves. */
  heldEarlier(ino: Ino): void {
    if (this.#inos.has(ino)) return;
    this.#inos.add(ino);
    this.#unread.add(ino);
  }

  /** `read` returns the current version; undefined if the file has unpublished changes or is gone. Rejects as `read`. */
  async readEarlier(read: (ino: Ino) => Promise<CleanObject | undefined>): Promise<void> {
    for (const ino of this.#unread) {
      const now = await read(ino);
      if (this.#unread.delete(ino)) this.hold(ino, now);
    }
  }

  /** The file need not be held any more. */
  closed(ino: Ino): void {
    this.#inos.delete(ino);
    this.#unread.delete(ino);
    this.stale.delete(ino);
  }

  /** The files that are held alone, and were changed by others. */
  stored(): HeldFile[] {
    return [...this.#versions.values()].flatMap(({ object: { ino, id, record }, names, isOld, isWhole }) =>
      isOld && !isWhole ? [{ ino, id, record, names }] : [],
    );
  }

  /** Goes on with what an earlier process had stored. */
  restore(files: readonly HeldFile[]): void {
    for (const file of files) {
      if (!this.isUnchanged(file)) continue;
      this.#inos.add(file.ino);
      this.put({ object: heldObject(file), names: file.names, isOld: true, isWhole: false });
    }
  }

  /** Whether the number still stands for this file, without unpublished changes. */
  isUnchanged({ ino, id }: Pick<HeldFile, "ino" | "id">): boolean {
    return this.#state.object(ino) === undefined && this.#state.inodes.row(ino)?.id === id;
  }

  /** Forgets and returns the held version: the file has local changes now, or shows the base. */
  drop(ino: Ino): HeldVersion | undefined {
    const version = this.of(ino);
    if (version === undefined) return undefined;
    this.#versions.delete(ino);
    this.#byId.delete(version.object.id);
    return version;
  }

  /**
   * The versions of held files, and of `more`, that this epoch publishes, unless they changed again. Call before the overlay
   * settles it.
   */
  publishedBy({ epoch, objects }: PublishedEpoch, more: readonly Ino[]): HeldVersion[] {
    const found: HeldVersion[] = [];
    const { inFlight } = this.#state;
    const wanted = new Set([...this.#inos, ...more].filter((ino) => inFlight?.objects.has(ino)));
    for (const [ino, { id, record, names }] of wanted.size === 0 ? [] : objects) {
      if (!wanted.delete(ino) || record.type !== "file" || changedSince(this.#state, ino, epoch)) continue;
      const object = cleanFile(ino, id, record, names[0], names.length);
      found.push({ object, names, isOld: false, isWhole: false });
      // Reading the rest of a large epoch would take long.
      if (wanted.size === 0) break;
    }
    return found;
  }

  /** Contents of held versions that the base no longer has. */
  contents(): ContentInUse[] {
    return [...this.#versions.values()].flatMap(({ object: { id, record }, names, isOld }) =>
      isOld ? contentInUse(id, names[0], record.content, record.size) : [],
    );
  }

  /** Holds these versions. Call once the overlay has settled the epoch. `changed`: numbers that may stand for other objects. */
  add(versions: readonly HeldVersion[], changed: readonly Ino[]): void {
    const { inodes } = this.#state;
    for (const ino of changed) {
      const id = this.of(ino)?.object.id;
      if (id !== undefined && (inodes.row(ino)?.id ?? id) !== id) this.drop(ino);
    }
    for (const version of versions)
      if (this.#inos.has(version.object.ino) && this.isUnchanged(version.object)) this.put(version);
  }

  /** Notes which held files others changed. Those in `units` that are not held as a whole are let go: they show the base. */
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
      if (isOld && !isWhole && isPart({ ino, type: "file", links: this.#state.linksOf(names), baseNames: names }))
        this.drop(ino);
    }
  }

  /** Holds this version. */
  put(version: HeldVersion): void {
    this.#versions.set(version.object.ino, version);
    this.#byId.set(version.object.id, version);
  }
}

/** A held file as an object. */
export function heldObject({ ino, id, record, names }: HeldFile): CleanObject {
  return cleanFile(ino, id, record, names[0], names.length);
}

const NO_UNITS: Units = { trees: [], families: [] };
