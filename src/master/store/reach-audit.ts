/** Walks everything that a bucket's root reaches, and reports blocks not stored intact. */
import type { Cid } from "../../base/ids.ts";
import { orElse } from "../../base/unless.ts";
import { isIntact } from "../../blocks/verified-reader.ts";
import { codecOf, digestKey, digestOf } from "../../format/blocks/cid.ts";
import type { BlockIndex, PackPlacement } from "./block-index.ts";
import { reachedLinks } from "./reached-links.ts";

export interface ReachAuditOptions {
  /** The bytes there; undefined: they cannot be read. */
  readonly read: (place: PackPlacement) => Promise<Uint8Array | undefined>;
  /** The packs' blocks, with damaged ones marked; the walk marks those it reaches as complete. */
  readonly found: BlockIndex;
  /** Nodes already walked, by digestKey: one set for all buckets of an owner. */
  readonly walked: Set<string>;
}

export interface Unreached {
  readonly cid: Cid;
  readonly what: string;
}

/** Memory: 100 bytes a node. Throws the system's errors. */
export async function auditReach(options: ReachAuditOptions, root: Cid): Promise<Unreached[]> {
  const { found, walked } = options;
  const missing = new Map<string, Unreached>();
  // Depth first, so that only the links along one path are pending.
  const waiting: Cid[] = [root];
  let isRoot = true;
  for (let cid = waiting.pop(); cid !== undefined; cid = waiting.pop(), isRoot = false) {
    const key = digestKey(cid);
    // A root's list of kept commits is followed even if the commit was walked as a retained one.
    if ((walked.has(key) && !isRoot) || missing.has(key)) continue;
    const place = found.find(digestOf(cid));
    if (place === undefined || place.damaged === 1) {
      missing.set(key, { cid, what: place === undefined ? "is not stored" : "is damaged" });
    } else if (codecOf(cid) === "dag-cbor") {
      const links = await linksAt(options, cid, place, isRoot);
      if (links === undefined) missing.set(key, { cid, what: "is not a readable node" });
      else {
        walked.add(key);
        found.markComplete([cid, ...links].map(digestOf));
        waiting.push(...links.toReversed());
      }
    }
  }
  return [...missing.values()];
}

async function linksAt(
  { read }: ReachAuditOptions,
  cid: Cid,
  place: PackPlacement,
  isRoot: boolean,
): Promise<Cid[] | undefined> {
  const bytes = await read(place);
  if (bytes === undefined || !isIntact(cid, bytes)) return undefined;
  return orElse(undefined, () => reachedLinks(cid, bytes, isRoot).slice(0));
}
