/** What names the bytes of a file, so that clients can tell versions apart without reading them. */
import type { Cid, Ino } from "../base/ids.ts";
import type { Content } from "../format/files/record.ts";
import { cidOf } from "../format/blocks/cid.ts";

export interface ContentName {
  /**
   * Equal names are equal bytes, on every agent of the bucket and for good; in one bucket equal bytes of one size have equal names, too.
   * Undefined for bytes that were written here, until they are published or somebody says it.
   */
  readonly name: Cid | undefined;
  /** Another number after each change of the bytes here, within this process. */
  readonly version: number;
}

export interface ContentNames {
  /** Refuses ESTALE. Throws BlockMiss. */
  contentName(ino: Ino): ContentName;
  /** Says what names the bytes that the file has now: what `nameOfContent` makes of their content. */
  nameContent(ino: Ino, name: Cid): void;
}

/** What names bytes that have this content; their number belongs to it. Up to one chunk, it is the chunk's address, also where none is stored. */
export function nameOfContent(content: Content): Cid {
  if (content.kind === "empty") return NO_BYTES;
  return content.kind === "inline" ? cidOf("raw", content.bytes) : content.cid;
}

const NO_BYTES = cidOf("raw", new Uint8Array(0));
