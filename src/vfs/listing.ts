/**
 * Listing directories: the base's rows and the overlay's names merged, in byte order.
 *
 * A cookie is a hash of the previous name: it stands for the same place despite added or removed names, and after a
 * restart. The place where a listing stopped is remembered: continuing takes one seek. Other cookies are searched for.
 */
import { BoundedMap } from "../base/bounded-map.ts";
import type { Cid, FileId, FileName, Ino } from "../base/ids.ts";
import { LISTED_PAGES, LISTING_BATCH, OPEN_LISTINGS } from "../base/limits.ts";
import { BlockMiss } from "../blocks/block-store.ts";
import { type ListedEntry as ListedRow, peekDirectory } from "../fstree/fs-reader.ts";
import { dentryId, dentryType, type Dentry } from "../format/files/rows.ts";
import { CleanFile } from "./clean-file.ts";
import type { Attributes, DirectoryEntry, ListedAttributes, ListedEntry, Listing } from "./filesystem.ts";
import { type Objects, TYPE_BITS } from "./objects.ts";
import { refuse } from "./refusal.ts";

/** Cookies after "." and "..". */
const DOT_COOKIE = 1;
const DOTS_COOKIE = 2;
/** Remembered places per directory. */
const REMEMBERED = 1_024;

/** Remembered state of a directory that is being listed. */
interface OpenListing {
  /** The overlay's names when the listing began on this base, sorted. Some may be gone; new files need not be listed. */
  own: readonly FileName[];
  tree: Cid;
  readonly places: Map<number, FileName>;
  /** How far a search for a cookie came. */
  search: { readonly cookie: number; readonly after: FileName | undefined } | undefined;
}

/** Rows of the base after a name. */
interface Page {
  readonly tree: Cid;
  readonly after: FileName | undefined;
  readonly rows: readonly ListedRow[];
}

/** A name of the overlay, or a row of the base in the directory with this id. */
type Listed = Own | (ListedRow & { readonly directory: FileId });

interface Own {
  readonly name: FileName;
  readonly ino: Ino;
  readonly mode: number;
  readonly dentry?: undefined;
}

export class Listings {
  readonly #objects: Objects;
  readonly #listings = new BoundedMap<Ino, OpenListing>(OPEN_LISTINGS);
  /** Fewer directories than are remembered: a page takes 100 KiB and more, with the nodes of its rows. */
  readonly #pages = new BoundedMap<Ino, Page>(LISTED_PAGES);
  /** One object of each shape that `list` creates, as `keepShape` would keep it. */
  readonly #shapes: unknown[] = [];

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  /** As FileSystem.readDirectory. If it throws BlockMiss, entries emitted before count. */
  read(ino: Ino, cookie: number, withAttributes: boolean, emit: (entry: DirectoryEntry) => boolean): void {
    if (this.#objects.type(ino) !== "directory") throw refuse("ENOTDIR");
    if (cookie < DOTS_COOKIE && !this.#emitDots(ino, cookie, withAttributes, emit)) return;
    const listing = this.#listing(ino, cookie <= DOTS_COOKIE);
    let last = cookie <= DOTS_COOKIE ? undefined : (listing.places.get(cookie) ?? this.#search(ino, listing, cookie));
    const begun = last;
    try {
      for (const listed of this.#entries(ino, listing, last)) {
        const { name } = listed;
        const child = this.#inoOf(ino, listed);
        if (child === undefined) continue;
        const attributes = withAttributes ? this.#attributes(child, ino) : undefined;
        const mode = attributes?.mode ?? modeOf(listed);
        if (!emit({ ino: child, name, mode, next: cookieOf(name), attributes })) return;
        last = name;
      }
    } finally {
      if (last !== undefined && last !== begun) remember(listing, last);
    }
  }

  list(ino: Ino, cookie: number, limit: number): Listing {
    if (this.#objects.type(ino) !== "directory") throw refuse("ENOTDIR");
    const listing = this.#listing(ino, cookie === 0);
    const after = cookie === 0 ? undefined : (listing.places.get(cookie) ?? this.#search(ino, listing, cookie));
    const entries: ListedEntry[] = [];
    for (const listed of this.#entries(ino, listing, after)) {
      const attributes = this.#listedAttributes(ino, listed);
      if (attributes === undefined) continue;
      const { name } = listed;
      entries.push({ name, attributes });
      if (entries.length < limit) continue;
      this.#shapes[listed.dentry === undefined ? 0 : 1] = [listed, entries.at(-1)];
      remember(listing, name);
      return { entries, next: cookieOf(name) };
    }
    return { entries, next: undefined };
  }

  #listedAttributes(ino: Ino, listed: Listed): ListedAttributes | undefined {
    if (listed.dentry !== undefined && listed.dentry.kind === "record") {
      const { held, overlay } = this.#objects;
      const { directory, name, dentry } = listed;
      if (!overlay.state.hasIds && held.size === 0) return new CleanFile(this.#objects, ino, name, dentry.record);
      const id = dentryId(directory, name, dentry);
      // The overlay decides its place.
      if (overlay.state.dirtyWithId(id) !== undefined) return undefined;
      if (!held.hasId(id)) return new CleanFile(this.#objects, ino, name, dentry.record);
    }
    const child = this.#inoOf(ino, listed);
    return child === undefined ? undefined : this.#attributes(child, ino);
  }

  /** Undefined if a row of the base leads to a dirty object. */
  #inoOf(parent: Ino, listed: Listed): Ino | undefined {
    if (listed.dentry === undefined) return listed.ino;
    return this.#objects.clean.found(parent, listed.directory, listed.name, listed.dentry);
  }

  #emitDots(ino: Ino, cookie: number, withAttributes: boolean, emit: (entry: DirectoryEntry) => boolean): boolean {
    const dot = (name: string, at: Ino, next: number): DirectoryEntry => ({
      ino: at,
      name: name as FileName,
      mode: TYPE_BITS.directory,
      next,
      attributes: withAttributes ? this.#objects.attributes(at) : undefined,
    });
    if (cookie < DOT_COOKIE && !emit(dot(".", ino, DOT_COOKIE))) return false;
    return emit(dot("..", this.#objects.parentOf(ino) ?? ino, DOTS_COOKIE));
  }

  #listing(ino: Ino, begins: boolean): OpenListing {
    const { state } = this.#objects.overlay;
    const { tree } = state.base;
    const known = this.#listings.get(ino);
    const listing = known ?? { own: [], tree, places: new Map<number, FileName>(), search: undefined };
    if (known === undefined) this.#listings.set(ino, listing);
    // Each file is among these names or in the base. A new base may lack files that changed here meanwhile.
    if (begins || known === undefined || listing.tree !== tree) listing.own = this.#objects.ownNames.in(ino).sort();
    listing.tree = tree;
    return listing;
  }

  /**
   * The name that a cookie stands for. If the name is gone and forgotten, the listing restarts: better to list twice than
   * to omit. A directory may be larger than memory: after a missing block the search resumes there, since from the start it
   * would never finish.
   */
  #search(ino: Ino, listing: OpenListing, cookie: number): FileName | undefined {
    const own = listing.own.find((name) => cookieOf(name) === cookie);
    const id = own === undefined ? this.#objects.directoryId(ino) : undefined;
    if (id === undefined) return own;
    const { nodes } = this.#objects.loader;
    const { tree } = this.#objects.overlay.state.base;
    let after = listing.search?.cookie === cookie ? listing.search.after : undefined;
    for (;;) {
      listing.search = { cookie, after };
      const rows = peekDirectory(nodes, tree, id, after, LISTING_BATCH);
      const found = rows.find(({ name }) => cookieOf(name) === cookie);
      after = rows.at(-1)?.name;
      if (found === undefined && after !== undefined && rows.length === LISTING_BATCH) continue;
      listing.search = undefined;
      return found?.name;
    }
  }

  /** Entries after a name, in order. Throws BlockMiss. */
  *#entries(ino: Ino, listing: OpenListing, after: FileName | undefined): Generator<Listed> {
    const id = this.#objects.directoryId(ino);
    const own = this.#ownEntries(ino, listing.own, after);
    if (id === undefined) return yield* own;
    let next = own.next().value;
    for (const { name, dentry } of this.#rows(ino, id, after)) {
      for (; next !== undefined && next.name < name; next = own.next().value) yield next;
      if (next?.name === name) {
        yield next;
        next = own.next().value;
        continue;
      }
      // A file that changed after the listing began has a row in the base, but not a name in `own`.
      const child = this.#objects.ownNames.at(ino, id, name);
      if (child === undefined) yield { name, dentry, directory: id };
      else if (child !== "nothing") yield this.#own(name, child);
    }
    for (; next !== undefined; next = own.next().value) yield next;
  }

  *#ownEntries(ino: Ino, names: readonly FileName[], after: FileName | undefined): Generator<Own, undefined> {
    for (let index = after === undefined ? 0 : behind(names, after); index < names.length; index++) {
      const name = names[index];
      // Without an id, what is not its own is nothing.
      const child = name === undefined ? undefined : this.#objects.ownNames.at(ino, undefined, name);
      if (name !== undefined && child !== undefined && child !== "nothing") yield this.#own(name, child);
    }
  }

  #own(name: FileName, ino: Ino): Own {
    const { type, mode } = this.#objects.record(ino);
    return { name, ino, mode: TYPE_BITS[type] | mode };
  }

  /** The base's rows after a name. */
  *#rows(ino: Ino, id: FileId, start: FileName | undefined): Generator<ListedRow, undefined> {
    for (let after = start; ;) {
      const { rows } = this.#page(ino, id, after);
      for (const row of rows) if (after === undefined || row.name > after) yield row;
      after = rows.at(-1)?.name;
      if (after === undefined || rows.length < LISTING_BATCH) return;
    }
  }

  /** The rows around a name: those read last, while they reach past it and the base is the same. */
  #page(ino: Ino, id: FileId, after: FileName | undefined): Page {
    const { nodes } = this.#objects.loader;
    const { tree } = this.#objects.overlay.state.base;
    const page = this.#pages.get(ino);
    if (page?.tree === tree) {
      const beginsBefore = page.after === undefined || (after !== undefined && page.after <= after);
      const last = page.rows.at(-1)?.name;
      const reaches = page.rows.length < LISTING_BATCH || (last !== undefined && (after === undefined || after < last));
      if (beginsBefore && reaches) return page;
    }
    const rows = peekDirectory(nodes, tree, id, after, LISTING_BATCH);
    const next = { tree, after, rows };
    this.#pages.set(ino, next);
    return next;
  }

  /** If the attributes of one entry need blocks, the blocks for the other entries on the page are requested too. */
  #attributes(ino: Ino, directory: Ino): Attributes {
    try {
      return this.#objects.attributes(ino);
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      const cids = new Set(error.cids);
      for (const { dentry } of this.#pages.get(directory)?.rows ?? []) {
        if (dentry.kind === "reference") for (const cid of this.#missing(dentry.id)) cids.add(cid);
      }
      throw new BlockMiss([...cids]);
    }
  }

  #missing(id: FileId): readonly Cid[] {
    try {
      this.#objects.clean.subdirs(id);
      return [];
    } catch (error) {
      if (error instanceof BlockMiss) return error.cids;
      throw error;
    }
  }
}

/** 52 bits of the name, never the dots' cookies: FNV-1a and a second hash beside it. */
export function cookieOf(name: FileName): number {
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  for (let index = 0; index < name.length; index++) {
    const char = name.charCodeAt(index);
    low = Math.imul(low ^ char, 0x01000193);
    high = Math.imul((high ^ char) + (high << 13), 0x5bd1e995);
  }
  high ^= high >>> 15;
  low ^= low >>> 13;
  return Math.max((high & 0xfffff) * 2 ** 32 + (low >>> 0), DOTS_COOKIE + 1);
}

/** The index of the first name after `after` in a sorted list. */
function behind(names: readonly FileName[], after: FileName): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const name = names[middle];
    if (name !== undefined && name <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

function modeOf(listed: Own | { readonly dentry: Dentry }): number {
  return listed.dentry === undefined ? listed.mode : TYPE_BITS[dentryType(listed.dentry)];
}

function remember({ places }: OpenListing, name: FileName): void {
  const cookie = cookieOf(name);
  places.delete(cookie);
  places.set(cookie, name);
  if (places.size <= REMEMBERED) return;
  const [oldest] = places.keys();
  if (oldest !== undefined) places.delete(oldest);
}
