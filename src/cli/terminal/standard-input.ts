/** Whether standard input can be read. For what it cannot read, Node.js has a stream that ends at once. */
import { fstatSync, type Stats, statSync } from "node:fs";

/** What a descriptor is instead of something to read; undefined: it can be read. */
export function unreadable(descriptor: number): string | undefined {
  const stat = lookAt(() => fstatSync(descriptor));
  if (stat === undefined) return "closed";
  if (stat.isDirectory()) return "a directory";
  if (stat.isBlockDevice()) return "a block device";
  // Node.js opens it in place of a closed descriptor. Programs that run in the background have it too.
  return stat.isCharacterDevice() && stat.rdev === lookAt(() => statSync("/dev/null"))?.rdev
    ? "closed, or /dev/null"
    : undefined;
}

function lookAt(look: () => Stats): Stats | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
