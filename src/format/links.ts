/** The links of any block, for walks that do not care what it means. The seam for sealed blocks: their links stand in clear. */
import type { Cid } from "../base/ids.ts";
import { codecOf } from "./cid.ts";
import type { CborValue } from "./dag-cbor.ts";
import { decodeCbor, Link } from "./dag-cbor.ts";

/** All strong links in the order in which they stand; content blocks have none. Throws `format_invalid`. */
export function linksOf(cid: Cid, bytes: Uint8Array): Cid[] {
  if (codecOf(cid) === "raw") return [];
  const links: Cid[] = [];
  collect(decodeCbor(bytes), links);
  return links;
}

function collect(value: CborValue, links: Cid[]): void {
  if (value instanceof Link) links.push(value.cid);
  else if (Array.isArray(value)) for (const item of value) collect(item, links);
  else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    for (const item of Object.values(value)) collect(item, links);
  }
}
