/** Units in which a scan found changes, and their places, in the folder and in the base's tree. */
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { listDirectory, lookup, readSelf } from "../../fstree/fs-reader.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import type { Place } from "../../fstree/object-rows.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { PARKED_ID } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import type { Matching } from "../scan/matching.ts";
import { familyOf } from "../scan/unit-paths.ts";
import type { Found } from "../scan/walk.ts";

export class TouchedUnits {
  readonly #db: SyncDatabase;
  readonly #nodes: NodeStore;
  readonly #tree: Cid;
  readonly #rules: UnitRules;
  /** Directories that are units, with everything below. */
  readonly #roots = new Set<FileId>();
  /** Names of files that are units together, by directory. */
  readonly #families = new Map<FileId, Set<FileName>>();
  readonly #new = new Map<Found, FileId | undefined>();
  readonly #isBelow = new Map<FileId, boolean>();

  constructor(db: SyncDatabase, nodes: NodeStore, tree: Cid, rules: UnitRules) {
    this.#db = db;
    this.#nodes = nodes;
    this.#tree = tree;
    this.#rules = rules;
  }

  get isEmpty(): boolean {
    return this.#roots.size + this.#families.size === 0;
  }

  async add(matching: Matching, { changes }: LocalChanges): Promise<void> {
    for (const { object } of changes) {
      for (const { parent, name } of object.entries) {
        this.#addFamily(parent, name);
        this.#addRootsAbove(parent);
      }
      for (const { parent, name } of object.found) {
        if (parent === undefined) continue;
        if (this.#rules.mainsOf(name).length > 0) this.#addFamily(await this.#idOf(matching, parent), name);
        for (let at: Found | undefined = parent; at !== undefined; at = at.parent) {
          const root = this.#rules.isTree(at.name) ? await this.#idOf(matching, at) : undefined;
          if (root !== undefined) this.#roots.add(root);
        }
      }
    }
  }

  /** Places of these units where the folder is known to be behind. */
  async *behind(): AsyncGenerator<Place> {
    const end = this.#db.behind.lastRow();
    for (let places = this.#db.behind.from(0, end, AT_ONCE); places.length > 0;) {
      for (const place of places) if (await this.#has(place)) yield place;
      places = this.#db.behind.from(places.at(-1)?.row ?? end, end, AT_ONCE);
    }
  }

  /** All their places. */
  async *all(): AsyncGenerator<Place> {
    for (const [parent, names] of this.#families) for (const name of names) yield { parent, name };
    const met = new Set(this.#roots);
    for (const parent of met) {
      const known = this.#db.children(parent);
      const names = new Set(known.map(({ name }) => name));
      for (const { id, record } of known) if (record.type === "directory") met.add(id);
      for await (const { name } of listDirectory(this.#nodes, this.#tree, parent)) {
        names.add(name);
        const target = await lookup(this.#nodes, this.#tree, { parent, name });
        if (target?.record.type === "directory") met.add(target.id);
      }
      for (const name of names) yield { parent, name };
    }
  }

  async #has({ parent, name }: Place): Promise<boolean> {
    return this.#families.get(parent)?.has(name) === true || (this.#roots.size > 0 && (await this.#isIn(parent)));
  }

  /** Whether a directory is in one of these trees, here or as others have it. */
  async #isIn(directory: FileId): Promise<boolean> {
    if (this.#roots.has(directory)) return true;
    const known = this.#isBelow.get(directory);
    if (known !== undefined) return known;
    // In a damaged bucket, directories may contain one another.
    this.#isBelow.set(directory, false);
    const isNone = directory === ROOT_ID || directory === PARKED_ID;
    const self = isNone ? undefined : await readSelf(this.#nodes, this.#tree, directory);
    const theirs = self?.kind === "directory" ? self.place?.parent : undefined;
    const [here] = this.#db.byId(directory);
    const isBelow =
      (here !== undefined && (await this.#isIn(here.parent))) || (theirs !== undefined && (await this.#isIn(theirs)));
    this.#isBelow.set(directory, isBelow);
    return isBelow;
  }

  #addFamily(directory: FileId | undefined, name: FileName): void {
    if (directory === undefined) return;
    for (const member of familyOf(this.#rules, name)) {
      const names = this.#families.get(directory) ?? new Set();
      this.#families.set(directory, names.add(member));
    }
  }

  #addRootsAbove(directory: FileId): void {
    const seen = new Set<FileId>();
    for (let at = directory; at !== ROOT_ID && !seen.has(at);) {
      seen.add(at);
      const [entry] = this.#db.byId(at);
      if (entry === undefined) return;
      if (this.#rules.isTree(entry.name)) this.#roots.add(at);
      at = entry.parent;
    }
  }

  /** The directory's id. If it is new, that of a directory that others made in its place: the merge joins the two. */
  async #idOf(matching: Matching, directory: Found): Promise<FileId | undefined> {
    const known = matching.objectOf.get(directory)?.id ?? this.#new.get(directory);
    if (known !== undefined || this.#new.has(directory)) return known;
    const { parent, name } = directory;
    const above = parent === undefined ? undefined : await this.#idOf(matching, parent);
    const target = above === undefined ? undefined : await lookup(this.#nodes, this.#tree, { parent: above, name });
    const isSame = target?.record.type === "directory" && this.#db.byId(target.id).length === 0;
    this.#new.set(directory, isSame ? target.id : undefined);
    return this.#new.get(directory);
  }
}

const AT_ONCE = 1_024;
