/** Finds contents in the bucket that the base may no longer have, but that files here still need to be read or merged. */
import type { Cid, FileId } from "../base/ids.ts";
import type { Content } from "../format/files/record.ts";
import type { BaseName } from "./dirty-object.ts";
import { isUnlinked } from "./dirty-object.ts";
import type { OverlayState } from "./state.ts";

export interface ContentInUse {
  /** The object in the base. Undefined: the file has no name any more. */
  readonly id: FileId | undefined;
  readonly place: BaseName | undefined;
  readonly content: { readonly kind: "chunk" | "list"; readonly cid: Cid };
  /** How many of its bytes the file uses. */
  readonly size: number;
  /** Its bytes outside holes. */
  readonly dataBytes: number;
}

export interface ContentsInUse {
  readonly contents: readonly ContentInUse[];
  /** Whether these are all. */
  readonly isWhole: boolean;
}

/** Limits of one call, since it runs on the thread that serves programs: objects looked at, and contents found. */
const MOST_LOOKED = 65_536;
const MOST_FOUND = 4_096;

/** `more`: contents of files without local changes. */
export function contentsInUse(state: OverlayState, more: readonly ContentInUse[]): ContentsInUse {
  const contents = more.slice(0, MOST_FOUND);
  const isWhole = contents.length === more.length;
  let looked = 0;
  for (const object of state.objects()) {
    if (++looked > MOST_LOOKED || contents.length === MOST_FOUND) return { contents, isWhole: false };
    const { content, id, baseNames, forgotten, contentSize: size } = object;
    if (forgotten || (isUnlinked(object) && object.extents?.hasBase === false)) continue;
    contents.push(...contentInUse(id, baseNames[0], content, size));
  }
  return { contents, isWhole };
}

/** Empty if the file's record holds the bytes itself. */
export function contentInUse(
  id: FileId | undefined,
  place: BaseName | undefined,
  content: Content,
  size: number,
): ContentInUse[] {
  if (content.kind !== "chunk" && content.kind !== "list") return [];
  const { kind, cid } = content;
  const dataBytes = kind === "list" ? (content.dataBytes ?? size) : size;
  return [{ id, place, content: { kind, cid }, size, dataBytes }];
}
