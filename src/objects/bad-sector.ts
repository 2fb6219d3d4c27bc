/** A sector that a folder's disk cannot read: damage of what lies there, unlike a disk that is away. */
import { SynclineError } from "../base/errors.ts";
import { isUnreadableSector } from "../base/system-errors.ts";
import type { ObjectStore } from "./object-store.ts";

/**
 * Throws `block_corrupt` if a read of an object failed on a bad sector, else `cause`: also if the folder takes no new files,
 * since then the disk itself is away or full.
 */
export async function throwUnread(
  folder: Pick<ObjectStore, "address" | "now">,
  name: string,
  cause: unknown,
): Promise<never> {
  const isSector = cause instanceof Error && isUnreadableSector(cause.cause);
  if (!isSector || (await folder.now()) === undefined) throw cause;
  throw new SynclineError("block_corrupt", `The disk of ${folder.address} cannot read object ${name}.`, {
    hint: "Check the disk, then run `syncline verify --repair` on the bucket.",
    cause,
  });
}
