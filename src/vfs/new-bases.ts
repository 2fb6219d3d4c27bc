/** Moves the filesystem to a new base: publishes an epoch or adopts a root, and tells doors what they must forget. */
import type { FileName, Ino } from "../base/ids.ts";
import { hasCode } from "../base/errors.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import type { NewBase, PublishedEpoch } from "../fstree/change-set.ts";
import type { Units } from "../format/commits/policy.ts";
import { whenLoaded } from "../fstree/fs-reader.ts";
import { isNothing } from "../overlay/in-use.ts";
import { isDirtyIn } from "../overlay/dirty-units.ts";
import type { Link } from "../overlay/links.ts";
import { recordOf } from "../overlay/dirty-object.ts";
import { cleanFile } from "./clean-object.ts";
import type { Invalidations } from "./filesystem.ts";
import { invalidate, recountedBy } from "./invalidation.ts";
import type { Objects } from "./objects.ts";
import { seedPublished } from "./seeding.ts";

/** Files, and families, that outlive this process. */
const MOST_NOTED = 1_000;

export class NewBases {
  readonly #objects: Objects;
  /** Called with what doors must forget. */
  changed: (changes: Invalidations) => void = () => {};
  /** The names reported at the last change of the base; undefined: all. */
  #told: ReadonlySet<string> | undefined = new Set();
  /** Whether programs may hold versions since before this process that are not known yet: until `onlyHeld`. */
  #isPartial = false;

  constructor(objects: Objects) {
    this.#objects = objects;
    objects.onUncovered = (parent, name) => this.changed({ entries: [{ parent, name }], inodes: [], all: false });
  }

  /** The sealed epoch is in the bucket. */
  published(result: PublishedEpoch): void {
    const { overlay, clean, dirty, held, heldUnits, lostFamilies, replaced } = this.#objects;
    const changed = heldUnits.attributesChanged(result.units);
    const versions = held.publishedBy(result, changed);
    const own = (ino: Ino) =>
      changed.includes(ino) ? versions.find(({ object }) => object.ino === ino)?.object : undefined;
    const seen = heldUnits.seenNow(result.base, result.units, own);
    const read = replaced.seen(result.base);
    const recounted = recountedBy(this.#objects);
    const seeds = seedPublished(this.#objects, result);
    const { inodes, names } = overlay.published(result);
    for (const { object, links } of seeds) clean.seed(object, links);
    held.add(versions, inodes);
    heldUnits.hold(seen);
    lostFamilies.note(result);
    const left = [...names, ...replaced.leave(read)];
    this.#rebased(result.base, result.units, [...recounted, ...inodes], left);
    this.#noteInUse();
    // Changes made while the epoch was in flight may have been reported before that flush began.
    dirty.reset();
    if (overlay.state.changed) dirty.tellAgain(overlay.isFull);
  }

  /** Adopts a root that others published. False: not adopted, since these units have unpublished changes. */
  adopt(base: NewBase, units?: Units | "any"): boolean {
    const { overlay, held, heldUnits, replaced } = this.#objects;
    if (units !== undefined && isDirtyIn(overlay.state, units)) return false;
    // What held files show next depends on whether they belong to units.
    if (units === "any" && held.inUse.size > 0) return false;
    const policy = units === "any" ? undefined : units;
    const seen = heldUnits.seenNow(base, policy);
    const read = replaced.seen(base);
    overlay.adopt(base);
    heldUnits.hold(seen);
    this.#rebased(base, policy, [], replaced.leave(read));
    this.#noteInUse();
    return true;
  }

  /** `goesOn`: goes on showing programs what an earlier process of this mount showed them. */
  begin(goesOn: boolean): void {
    const { overlay, held, heldUnits, lostFamilies } = this.#objects;
    const { base, isPartial, files, families, lost } = overlay.state.inUse;
    if (isNothing(overlay.state.inUse)) return;
    // A note of another base is out of date.
    const isValid = base === overlay.state.base.commit;
    this.#isPartial = goesOn && (isPartial || !isValid);
    if (!goesOn || !isValid) {
      for (const { ino } of [...files, ...families.flatMap((family) => family.files)]) held.lost.add(ino);
      return this.#noteInUse();
    }
    held.restore(files);
    for (const ino of heldUnits.restore(families)) held.heldEarlier(ino);
    lostFamilies.restore(lost);
  }

  /** Programs hold the versions of these files since before this process, and of no others. */
  onlyHeld(inodes: Iterable<Ino>): void {
    const { held } = this.#objects;
    const earlier = new Set(held.inUse);
    for (const ino of inodes) {
      if (this.#isPartial && this.#isUnknown(ino)) held.stale.add(ino);
      held.heldEarlier(ino);
      earlier.delete(ino);
    }
    for (const ino of earlier) {
      if (held.of(ino)?.isOld === true) held.lost.add(ino);
      this.#released(ino);
    }
    this.#isPartial = false;
    this.#noteInUse();
  }

  #isUnknown(ino: Ino): boolean {
    const { held, overlay } = this.#objects;
    return held.of(ino) === undefined && overlay.state.object(ino) === undefined;
  }

  /** These names were renamed here. The kernel may not know yet that they lead elsewhere, and would take one for the other. */
  renamed(entries: readonly Link[]): void {
    if (entries.some(({ parent, name }) => this.#told?.has(nameKey(parent, name)) ?? true))
      this.changed({ entries, inodes: [], all: false });
  }

  /** The last program that held the file has closed it: it shows the base from now on, except to programs that read it. */
  released(ino: Ino): void {
    this.#released(ino);
    if (!isNothing(this.#objects.overlay.state.inUse)) this.#noteInUse();
  }

  #released(ino: Ino): void {
    const { clean, held, heldUnits, overlay, replaced } = this.#objects;
    held.closed(ino);
    this.#letGo();
    const isInUnit = heldUnits.has(ino);
    const files = isInUnit ? heldUnits.filesWith(ino) : held.of(ino)?.isOld === true ? [ino] : [];
    const read = files.flatMap((each) => (replaced.isRead(each) ? replaced.seenOf(each, overlay.state.base.tree) : []));
    const { inodes, names } = isInUnit
      ? heldUnits.closed(ino)
      : { inodes: held.drop(ino)?.isOld === true ? [ino] : [], names: [] };
    if (inodes.length + names.length === 0) return;
    for (const each of inodes) clean.forget(each, []);
    names.push(...replaced.leave(read));
    for (const { parent, name } of names) clean.forgetName(parent, name);
    // Doors may have cached that the objects' new names do not exist.
    const all = names.length > 0 && inodes.some((each) => this.#mayBeMoved(each, names));
    this.changed(all ? { entries: [], inodes: [], all } : { entries: names, inodes, all });
  }

  /** Loads the blocks that `published` and `adopt` need, which must follow in the same turn. Rejects as reading does. */
  async prepare(base: NewBase, units: Units | "any" | undefined): Promise<void> {
    const { clean, held, heldUnits, loader, overlay, replaced } = this.#objects;
    await held.readEarlier(async (ino) =>
      overlay.state.object(ino) === undefined ? whenLoaded(loader, () => clean.get(ino)) : undefined,
    );
    const own = (ino: Ino) => {
      const dirty = overlay.state.object(ino);
      return dirty?.id && cleanFile(ino, dirty.id, recordOf(dirty), dirty.baseNames[0], dirty.links.size);
    };
    await replaced.prepare(base);
    // Last: programs may open more databases while something else is loaded.
    if (units !== undefined && units !== "any") await whenLoaded(loader, () => heldUnits.seen(base, units, own));
  }

  /** So that the next process goes on with it. If there is no room, it is known to this one only. */
  #noteInUse(): void {
    const { overlay, held, heldUnits, lostFamilies } = this.#objects;
    try {
      const [files, families] = [held.stored(), heldUnits.stored()];
      overlay.noteInUse({
        base: overlay.state.base.commit,
        isPartial: this.#isPartial || held.stale.size > 0 || Math.max(files.length, families.length) > MOST_NOTED,
        files: files.slice(0, MOST_NOTED),
        families: families.slice(0, MOST_NOTED),
        lost: lostFamilies.stored(),
      });
    } catch (error) {
      if (!hasCode(error, "disk_full")) throw error;
    }
    overlay.persist();
  }

  #letGo(): void {
    const { clean, lostFamilies } = this.#objects;
    const entries = lostFamilies.letGo();
    for (const { parent, name } of entries) clean.forgetName(parent, name);
    if (entries.length > 0) this.changed({ entries, inodes: [], all: false });
  }

  #mayBeMoved(ino: Ino, names: readonly Link[]): boolean {
    const { clean } = this.#objects;
    try {
      const place = clean.get(ino)?.place;
      if (place === undefined) return false;
      const parent = clean.directoryIno(place.parent);
      return !names.some((held) => held.parent === parent && held.name === place.name);
    } catch (error) {
      if (error instanceof BlockMiss) return true;
      throw error;
    }
  }

  #rebased(base: NewBase, units: Units | undefined, inodes: readonly Ino[], names: readonly Link[]): void {
    this.#objects.held.note(base, units);
    const { changes } = base;
    const stale = invalidate(this.#objects, changes, inodes, names);
    this.#told = stale.all ? undefined : new Set(stale.entries.map(({ parent, name }) => nameKey(parent, name)));
    if (stale.all || stale.entries.length > 0 || stale.inodes.length > 0) this.changed(stale);
    this.#letGo();
    // Local changes in a directory that others removed stay hidden until they are merged.
    const isUnsettled = changes?.some((change) => change.kind === "self" && (change.removed || change.moved)) ?? true;
    if (isUnsettled && this.#objects.overlay.state.publishable > 0) this.#objects.dirty.tell("urgent");
  }
}

function nameKey(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}
