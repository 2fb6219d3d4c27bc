/** Names for the bytes of a file: clients tell versions apart without reading them. */
import type { Cid, Ino } from "../base/ids.ts";
import { addressOf } from "../blocks/block-codec.ts";
import type { Content } from "../format/files/record.ts";

export interface ContentName {
  /**
   * Equal names mean equal bytes, on every agent of the bucket and forever; in one bucket, equal bytes of one size also
   * have equal names. Undefined for bytes written here, until they are published or `nameContent` names them.
   */
  readonly name: Cid | undefined;
  /** Differs after each change of the bytes here, within this process. */
  readonly version: number;
}

export interface ContentNames {
  /** Refuses ESTALE. Throws BlockMiss. */
  contentName(ino: Ino): ContentName;
  /** Sets the name of the file's current bytes: what `nameOfContent` returns for their content. */
  nameContent(ino: Ino, name: Cid): void;
}

/**
 * The name of bytes with this content, to be used together with their size. Up to one chunk, it is the chunk's address,
 * even if no chunk is stored.
 */
export function nameOfContent(content: Content): Cid {
  if (content.kind === "empty") return NO_BYTES;
  return content.kind === "inline" ? addressOf("raw", content.bytes) : content.cid;
}

const NO_BYTES = addressOf("raw", new Uint8Array(0));
