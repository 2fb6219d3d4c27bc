/** A folder's disk that sometimes shows a directory as empty, as a disk does that fails to read it without an error. */
import type { Random } from "../../base/random.ts";
import type { SyncDisk } from "../../sync/disk/disk.ts";

export function overlooking(random: Random): (disk: SyncDisk) => SyncDisk {
  return (disk) =>
    new Proxy(disk, {
      get: (target, property) => {
        if (property !== "list") return Reflect.get(target, property, target);
        const list: SyncDisk["list"] = async (path) =>
          path.length > 0 && random.fraction() < OVERLOOKED ? [] : target.list(path);
        return list;
      },
    });
}

const OVERLOOKED = 0.1;
