/** Caches published objects without reading the new base, so that publishing does not slow access to them. */
import { CLEAN_INODES } from "../base/limits.ts";
import type { PublishedEpoch } from "../fstree/change-set.ts";
import { changedSince } from "../overlay/settle.ts";
import type { Link } from "../overlay/links.ts";
import type { CleanObject } from "./clean-object.ts";
import type { Objects } from "./objects.ts";

/** The least that `CleanInodes` remembers. */
const MOST_SEEDS = CLEAN_INODES / 2;

export interface Seed {
  readonly object: CleanObject;
  readonly links: Iterable<Link>;
}

/** The epoch's files that did not change again, as many as the cache surely keeps. Call before the overlay drops them. */
export function seedPublished({ overlay }: Objects, { epoch, objects }: PublishedEpoch): Seed[] {
  const seeds: Seed[] = [];
  for (const [ino, published] of objects) {
    if (seeds.length === MOST_SEEDS) break;
    const dirty = overlay.state.object(ino);
    // Only the new base tells how many directories a directory holds.
    if (dirty === undefined || dirty.type === "directory" || changedSince(overlay.state, ino, epoch)) continue;
    const { id, record, names } = published;
    const object = { ino, id, record, names: names.length, subdirs: 0, place: names[0], atimeNs: dirty.atimeNs };
    seeds.push({ object, links: dirty.links });
  }
  return seeds;
}
