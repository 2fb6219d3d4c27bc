/** Makes a change durable before it is answered: a WebDAV client has no fsync, and may then remove its only copy. */
import { hasCode } from "../base/errors.ts";
import type { Ino } from "../base/ids.ts";
import type { Call } from "./call.ts";
import { Refusal, refusalOf } from "./refusal.ts";

/**
 * Resolves when the file's bytes, and all changes so far, survive power loss; with published durability, when they are in
 * the bucket. Throws a Refusal: 503, or 507 on a full disk. The change itself stays.
 */
export async function makeDurable({ access }: Pick<Call, "access">, ino: Ino): Promise<void> {
  try {
    await access.fs.fsync(ino);
  } catch (cause) {
    const isFull = refusalOf(cause).status === 507;
    const isHere = hasCode(cause, "unpublished_data");
    throw new Refusal(isFull ? 507 : 503, isHere ? UNPUBLISHED : UNSURE, {
      cause,
      headers: isFull ? {} : { "retry-after": "5" },
    });
  }
}

const UNPUBLISHED = "The change is stored here, but is not in the bucket yet. Send it again later.";
const UNSURE = "The change was made, but a power cut may undo it. Send it again.";
