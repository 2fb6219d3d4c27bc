/** Contents of the bucket that files of the overlay are made of, or will be merged with. */
import type { Cid, FileId } from "../base/ids.ts";
import type { BaseName } from "./dirty-object.ts";
import { isUnlinked } from "./dirty-object.ts";
import type { OverlayState } from "./state.ts";

export interface ContentInUse {
  /** The object that has it in the base; undefined: none, since the file has no name any more. */
  readonly id: FileId | undefined;
  readonly place: BaseName | undefined;
  readonly content: { readonly kind: "chunk" | "list"; readonly cid: Cid };
  /** Bytes of the file that lie in it. */
  readonly size: number;
}

/** Bounds of one call, which holds up the thread that serves programs. */
const MOST_LOOKED = 65_536;
const MOST_FOUND = 4_096;

export function contentsInUse(state: OverlayState): ContentInUse[] {
  const found: ContentInUse[] = [];
  let looked = 0;
  for (const object of state.objects()) {
    if (++looked > MOST_LOOKED || found.length === MOST_FOUND) break;
    const { content, id, baseNames, forgotten, contentSize: size } = object;
    if (forgotten || (content.kind !== "chunk" && content.kind !== "list")) continue;
    if (isUnlinked(object) && object.extents?.hasBase === false) continue;
    found.push({ id, place: baseNames[0], content: { kind: content.kind, cid: content.cid }, size });
  }
  return found;
}
