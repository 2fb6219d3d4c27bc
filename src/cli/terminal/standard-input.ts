/** Whether standard input can be read. For what it cannot read, Node.js has a stream that ends at once. */
import { fstatSync, statSync } from "node:fs";
import { orElse } from "../../base/unless.ts";

/** What a descriptor is instead of something to read; undefined: it can be read. */
export function unreadable(descriptor: number): string | undefined {
  const stat = orElse(undefined, () => fstatSync(descriptor));
  if (stat === undefined) return "closed";
  if (stat.isDirectory()) return "a directory";
  if (stat.isBlockDevice()) return "a block device";
  // Node.js opens it in place of a closed descriptor. Programs that run in the background have it too.
  return stat.isCharacterDevice() && stat.rdev === orElse(undefined, () => statSync("/dev/null"))?.rdev
    ? "closed, or /dev/null"
    : undefined;
}
