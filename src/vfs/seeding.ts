/** What is known of published objects without reading the new base: so that they do not become slow by being published. */
import { CLEAN_INODES } from "../base/limits.ts";
import type { PublishedEpoch } from "../fstree/change-set.ts";
import { changedSince } from "../overlay/settle.ts";
import type { Link } from "../overlay/dirty-object.ts";
import type { CleanObject } from "./clean-inodes.ts";
import type { Objects } from "./objects.ts";

/** What `CleanInodes` remembers at least. */
const MOST_SEEDS = CLEAN_INODES / 2;

export interface Seed {
  readonly object: CleanObject;
  readonly links: readonly Link[];
}

/** The files of an epoch that did not change again, as many as are remembered at least. To be called before the overlay drops them. */
export function seedPublished({ overlay }: Objects, { epoch, objects }: PublishedEpoch): Seed[] {
  const seeds: Seed[] = [];
  for (const [ino, published] of objects) {
    if (seeds.length === MOST_SEEDS) break;
    const dirty = overlay.state.object(ino);
    // How many directories are in a directory is told by the new base only.
    if (dirty === undefined || dirty.type === "directory" || changedSince(overlay.state, ino, epoch)) continue;
    const { id, record, names } = published;
    const object = { ino, id, record, names: names.length, subdirs: 0, place: names[0], atimeNs: dirty.atimeNs };
    seeds.push({ object, links: dirty.links });
  }
  return seeds;
}
