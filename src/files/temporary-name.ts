/** Temporary names for objects that a door has not completed. They are not listed. */
import type { FileName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";

const PREFIX = ".~syncline-dav-";

export function temporaryName(random: Random): FileName {
  return `${PREFIX}${Buffer.from(random.bytes(8)).toString("hex")}` as FileName;
}

export function isTemporary(name: FileName): boolean {
  return name.startsWith(PREFIX);
}
