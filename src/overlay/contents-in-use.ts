/** Finds contents in the bucket that are still needed to read or merge changed and unlinked files. */
import type { Cid, FileId } from "../base/ids.ts";
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

export function contentsInUse(state: OverlayState): ContentsInUse {
  const contents: ContentInUse[] = [];
  let looked = 0;
  for (const object of state.objects()) {
    if (++looked > MOST_LOOKED || contents.length === MOST_FOUND) return { contents, isWhole: false };
    const { content, id, baseNames, forgotten, contentSize: size } = object;
    if (forgotten || (content.kind !== "chunk" && content.kind !== "list")) continue;
    if (isUnlinked(object) && object.extents?.hasBase === false) continue;
    const { kind, cid } = content;
    const dataBytes = kind === "list" ? (content.dataBytes ?? size) : size;
    contents.push({ id, place: baseNames[0], content: { kind, cid }, size, dataBytes });
  }
  return { contents, isWhole: true };
}
