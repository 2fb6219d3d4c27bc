/** A disk that ignores case and Unicode forms, as on macOS and Windows. */
import type { FileName } from "../../src/base/ids.ts";
import { nameFromText, nameToText } from "../../src/base/names.ts";
import type { DiskPath, Placed, SyncDisk } from "../../src/sync/disk/disk.ts";

/** A disk on which two names are the same if `fold` makes them equal. */
export function folding(fold: (text: string) => string) {
  const low = (each: string) => nameFromText(fold(nameToText(each as FileName)));
  return (disk: SyncDisk): SyncDisk =>
    new Proxy(disk, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (key === "placeAll" && value !== undefined)
          return (directory: DiskPath, files: Placed[], ...more: []) =>
            target.placeAll?.(
              directory.map(low),
              files.map((each) => ({ ...each, to: each.to.map(low) })),
              ...more,
            );
        if (typeof value !== "function") return value;
        const isPath = (each: unknown) => Array.isArray(each) && each.every((part) => typeof part === "string");
        return (...call: unknown[]) =>
          (value as (...args: unknown[]) => unknown).apply(
            target,
            call.map((each) => (isPath(each) ? (each as string[]).map(low) : each)),
          );
      },
    });
}
