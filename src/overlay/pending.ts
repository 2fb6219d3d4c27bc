/** What awaits publishing, as `status` shows it. */
import { ROOT_INO } from "../base/ids.ts";
import type { OverlayState } from "./state.ts";

export interface Pending {
  readonly files: number;
  /** Bytes in data files. */
  readonly bytes: number;
  /** Age of the oldest change that is not published; 0 when there is none. */
  readonly oldestMs: number;
}

/** `ageMs`: the age of the oldest change, if there is one. */
export function pendingOf(state: OverlayState, ageMs: number): Pending {
  let [bytes, directories] = [0, 0];
  for (const { ino, type, base, links, extents } of state.objects()) {
    bytes += extents?.dataBytes ?? 0;
    // A directory of the base does not count by itself: the changes in it do.
    if (type === "directory" && base !== undefined && (links.size > 0 || ino === ROOT_INO)) directories++;
  }
  const { publishable } = state;
  const files = Math.max(publishable - directories, Math.min(publishable, 1));
  return { files, bytes, oldestMs: files === 0 ? 0 : ageMs };
}
