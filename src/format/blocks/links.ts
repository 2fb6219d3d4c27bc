/** The links of any block, for walks that do not care what it means. The seam for sealed blocks: their links stand in clear. */
import type { Cid } from "../../base/ids.ts";
import { codecOf } from "./cid.ts";
import { LinkList, scanLinks } from "./link-scan.ts";

/** All strong links in the order in which they stand; content blocks have none. Throws `format_invalid`. */
export function linksOf(cid: Cid, bytes: Uint8Array): Cid[] {
  return linkListOf(cid, bytes).slice(0);
}

/** As `linksOf`, with each link's address made when it is asked for: a block may hold 100,000. */
export function linkListOf(cid: Cid, bytes: Uint8Array): LinkList {
  return codecOf(cid) === "raw" ? NO_LINKS : scanLinks(bytes);
}

const NO_LINKS = new LinkList(new Uint8Array(), []);
