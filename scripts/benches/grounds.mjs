/**
 * Where the targets keep their files: each in memory (tmpfs), or each on an ext4 of its own that was just made. One disk for all would
 * decide the result: an ext4 without a journal makes each new file wait for minutes after many were deleted, which slowed a passthrough
 * down ten times while our own mount, whose files are few, did not feel it.
 */
import { mkdirSync } from "node:fs";
import { join, run } from "../drills/lib.ts";

const SIZE = "4G";

/** `folder(name)` makes the ground of one target, and answers its path. */
export function grounds(space, onDisk) {
  return {
    about: onDisk ? "each target on a fresh ext4" : "each target on a tmpfs",
    folder(name) {
      const path = join(space.path, `ground-${name}`);
      mkdirSync(path);
      if (onDisk) {
        const image = `${path}.img`;
        run("truncate", ["-s", SIZE, image]);
        run("mkfs.ext4", ["-q", "-F", image]);
        run("mount", ["-o", "loop", image, path]);
      } else {
        run("mount", ["-t", "tmpfs", "-o", `size=${SIZE}`, "ground", path]);
      }
      space.mounts.add(path);
      return path;
    },
  };
}
