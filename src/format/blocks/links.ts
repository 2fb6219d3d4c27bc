/** The links of any block, whatever its meaning. The seam for sealed blocks: their links are unencrypted. */
import type { Cid } from "../../base/ids.ts";
import { codecOf } from "./cid.ts";
import { LinkList, scanLinks } from "./link-scan.ts";

/** All strong links in order; content blocks have none. Throws `format_invalid`. */
export function linksOf(cid: Cid, bytes: Uint8Array): Cid[] {
  return linkListOf(cid, bytes).slice(0);
}

/** As `linksOf`, but makes each CID on demand: a block may hold 100,000 links. */
export function linkListOf(cid: Cid, bytes: Uint8Array): LinkList {
  return codecOf(cid) === "raw" ? NO_LINKS : scanLinks(bytes);
}

const NO_LINKS = new LinkList(new Uint8Array(), []);
