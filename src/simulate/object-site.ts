/** A bucket in an object store that machines share; the store may be a folder. */
import { PackedRemote } from "../bucket/packed/packed-remote.ts";
import type { ObjectStore } from "../objects/object-store.ts";
import type { Beginning, Start } from "./beginning.ts";
import { collectIn } from "./collecting.ts";
import { type Sabotage, sabotaged } from "./sabotage.ts";
import { HeededLeases, withoutLeases } from "./leases.ts";
import { seededRandom } from "./seeded-random.ts";
import { sharedFolder, withMethods } from "./shared-folder.ts";
import { SimulatedLink } from "./disks/simulated-link.ts";
import type { Reach, Site, Way } from "./site.ts";
import type { Timeline } from "./timeline.ts";

export interface SiteOptions {
  readonly beginning: Beginning;
  readonly start: Start;
  readonly timeline: Timeline;
  readonly sabotage: Sabotage | undefined;
  /** The most bytes of blocks in a commit object; undefined: the real limit. */
  readonly inlineBytes: number | undefined;
  /** Called with each fault found. */
  readonly onFault: (fault: string) => void;
  /** Called when there is a new root, before any process learns of it. */
  readonly moved: () => Promise<void>;
}

/** Creates a site that holds the history's start. */
export async function objectSite(options: SiteOptions & { readonly isFolder: boolean }): Promise<Site> {
  const { start, timeline, sabotage, moved, isFolder } = options;
  const made = await start.store(() => Number(timeline.nowNs() / 1_000_000n));
  const swapped = sabotaged(made, sabotage);
  const putIfMatch: ObjectStore["putIfMatch"] = async (...put) => {
    const outcome = await swapped.putIfMatch(...put);
    if (outcome.kind === "stored") await moved();
    return outcome;
  };
  const watched = withMethods(swapped, { putIfMatch });
  const store = isFolder ? sharedFolder(watched, timeline) : watched;
  const leases = new HeededLeases(store, options.onFault);
  return {
    checked: new PackedRemote(swapped, { clock: timeline, random: seededRandom(1) }),
    served: new PackedRemote(store, { clock: timeline, random: seededRandom(1) }),
    server: undefined,
    reach: (way) => reachOf(store, leases, options, way),
    audit: async () => [],
    [Symbol.dispose]: () => {},
  };
}

function reachOf(
  shared: ObjectStore,
  leases: HeededLeases,
  { beginning, timeline, sabotage, inlineBytes }: SiteOptions,
  { process, random, ...way }: Way,
): Reach {
  const { death, clock } = process;
  const store = new SimulatedLink({
    store: shared,
    clock: timeline,
    random,
    isDead: () => process.isDead,
    death,
    ...way,
  });
  return {
    open: ({ writer, pollMs }) =>
      new PackedRemote(store, { clock, random, writer, pollMs, ...(inlineBytes !== undefined && { inlineBytes }) }),
    collect: (options) => {
      const seen = sabotage === "a collector that ignores leases" ? withoutLeases(store) : store;
      return collectIn({ store: leases.by(seen), beginning, sabotage, ...options });
    },
  };
}
