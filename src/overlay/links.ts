/** The names of a changed object, in the order in which it got them. A file may have 65,000, so none is searched for. */
import type { FileName, Ino } from "../base/ids.ts";

/** A name of an object now; the directory by its inode number, since it may have no id yet. */
export interface Link {
  readonly parent: Ino;
  readonly name: FileName;
}

export class Links implements Iterable<Link> {
  /** Most objects have one name for good, and a map would take as much memory as the object. Unused once there is a map. */
  #only: Link | undefined;
  #many: Map<string, Link> | undefined;

  constructor(links: Iterable<Link> = []) {
    for (const link of links) this.add(link);
  }

  get size(): number {
    return this.#many?.size ?? (this.#only === undefined ? 0 : 1);
  }

  get first(): Link | undefined {
    const [first] = this;
    return first;
  }

  has(link: Link): boolean {
    return this.#many === undefined ? isSame(this.#only, link) : this.#many.has(keyOf(link));
  }

  /** Adds a name. Returns whether the object lacked it. */
  add(link: Link): boolean {
    if (this.has(link)) return false;
    if (this.#many === undefined && this.#only === undefined) this.#only = link;
    else this.#toMap().set(keyOf(link), link);
    return true;
  }

  /** Removes a name. Returns whether the object had it. */
  delete(link: Link): boolean {
    if (this.#many !== undefined) return this.#many.delete(keyOf(link));
    if (!isSame(this.#only, link)) return false;
    this.#only = undefined;
    return true;
  }

  [Symbol.iterator](): Iterator<Link> {
    if (this.#many !== undefined) return this.#many.values();
    return (this.#only === undefined ? [] : [this.#only]).values();
  }

  #toMap(): Map<string, Link> {
    if (this.#many !== undefined) return this.#many;
    this.#many = new Map(Array.from(this, (link) => [keyOf(link), link]));
    this.#only = undefined;
    return this.#many;
  }
}

function isSame(one: Link | undefined, { parent, name }: Link): boolean {
  return one?.parent === parent && one.name === name;
}

function keyOf({ parent, name }: Link): string {
  return `${parent}/${name}`;
}
