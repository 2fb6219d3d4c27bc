/**
 * A disk whose power can be cut: an ext4 image in a file on XFS, mounted through a loop device. `cp --reflink=always` clones the
 * image at one point in time, without what only the page cache holds. Needs root, xfsprogs and e2fsprogs.
 */
import { mkdirSync, renameSync } from "node:fs";
import { join, run, type Space } from "./lib.ts";

export class CutDisk {
  readonly path: string;
  readonly #space: Space;
  readonly #folder: string;
  readonly #options: string;

  /** `size`: as for truncate(1). `options`: of the mount. */
  constructor(space: Space, path: string, size: string, options: readonly string[] = []) {
    this.path = path;
    this.#space = space;
    this.#folder = `${path}-images`;
    this.#options = ["loop", ...options].join(",");
    for (const folder of [path, this.#folder]) mkdirSync(folder);
    const outer = `${path}.img`;
    run("truncate", ["-s", "4G", outer]);
    run("mkfs.xfs", ["-q", "-m", "reflink=1", outer]);
    this.#mount(outer, this.#folder, "loop");
    run("truncate", ["-s", size, this.#image]);
    run("mkfs.ext4", ["-q", "-F", this.#image]);
    this.#mount(this.#image, path, this.#options);
  }

  /** The point in time to which `cut` goes back. */
  mark(): void {
    run("cp", ["--reflink=always", this.#image, this.#marked]);
  }

  /** Goes back to the mark. Nothing may use the disk meanwhile. */
  cut(): void {
    run("umount", [this.path]);
    renameSync(this.#marked, this.#image);
    this.#mount(this.#image, this.path, this.#options);
  }

  get #image(): string {
    return join(this.#folder, "disk");
  }

  get #marked(): string {
    return join(this.#folder, "marked");
  }

  #mount(image: string, at: string, options: string): void {
    run("mount", ["-o", options, image, at]);
    this.#space.mounts.add(at);
  }
}
