/** What a kernel caches of a mount until it is told to forget: names and absences, attributes, contents and listings. */
import type { FileName, Ino } from "../base/ids.ts";
import type { Attributes, Invalidations } from "../vfs/filesystem.ts";

export class KernelCaches {
  /** By `nameKey`; undefined: the name does not exist. */
  readonly names = new Map<string, Ino | undefined>();
  readonly attributes = new Map<Ino, Attributes>();
  readonly contents = new Map<Ino, Buffer>();
  readonly listings = new Map<Ino, string[]>();

  know(parent: Ino, name: FileName, attributes: Attributes): void {
    this.names.set(nameKey(parent, name), attributes.ino);
    this.attributes.set(attributes.ino, attributes);
  }

  forget({ all, entries, inodes }: Invalidations): void {
    if (all) return this.clear();
    // Linux forgets nothing of the directory if it does not know the name.
    for (const { parent, name } of entries) if (this.names.delete(nameKey(parent, name))) this.forgetInode(parent);
    for (const ino of inodes) this.forgetInode(ino);
  }

  forgetInode(ino: Ino): void {
    this.attributes.delete(ino);
    this.contents.delete(ino);
    this.listings.delete(ino);
  }

  clear(): void {
    for (const cache of [this.names, this.attributes, this.contents, this.listings]) cache.clear();
  }
}

export function nameKey(parent: Ino, name: FileName): string {
  return `${parent}/${name}`;
}
