/**
 * Units (docs/design/merge.md) that an epoch changes although the folder has an older version of them than its base. The
 * merge must know what the changes were made on, so the epoch includes the whole unit as the folder has it. Otherwise files
 * of two versions would be published as one.
 */
import type { FileId, Ino } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { isGone } from "../../blocks/not-found.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { ChangedObject } from "../../fstree/change-set.ts";
import { lookup, pathOfDirectory, type TreeObject } from "../../fstree/fs-reader.ts";
import { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { type Place } from "../../fstree/object-rows.ts";
import { sameRecord } from "../../fstree/same-record.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import type { SyncDisk } from "../disk/disk.ts";
import { PARKED_ID } from "../disk/paths.ts";
import type { SyncDatabase } from "../known/database.ts";
import type { Entry } from "../known/entry.ts";
import { pathInFolder } from "../known/path-in-folder.ts";
import { looksSame } from "../known/seen.ts";
import { STUCK } from "../known/unsettled.ts";
import type { IgnoreRules } from "../scan/ignore-rules.ts";
import type { LocalChanges } from "../scan/local-changes.ts";
import type { Matching } from "../scan/matching.ts";
import { foundAs, lookBelow, NO_CHILDREN, type Found } from "../scan/walk.ts";
import { TouchedUnits } from "./touched-units.ts";

export interface BehindContext {
  readonly db: SyncDatabase;
  readonly disk: SyncDisk;
  readonly bucket: Bucket;
  readonly rules: IgnoreRules;
}

/** What the epoch includes besides its changes. */
export interface Behind {
  /** What the folder has in an older version, or in another place. */
  readonly objects: readonly ChangedObject[];
  readonly directories: ReadonlyMap<Ino, FileId>;
  /** The files of these objects. */
  readonly files: ReadonlyMap<Ino, Found>;
  /** Names in the base's tree of what the folder does not have. */
  readonly notShown: readonly Place[];
}

const NOTHING: Behind = { objects: [], directories: new Map(), files: new Map(), notShown: [] };

/** Finds nothing if the base is gone: then nobody knows what others changed. */
export async function behindUnits(
  context: BehindContext,
  nodes: NodeStore,
  matching: Matching,
  local: LocalChanges,
): Promise<Behind> {
  const { db, bucket } = context;
  const base = db.base();
  if (base === undefined || local.changes.length === 0) return NOTHING;
  if (db.behind.lastRow() === 0 && db.fact("compare all") === undefined) return NOTHING;
  try {
    const { units } = await bucket.policy(await bucket.commit(base.commit));
    const finder = new Finder(context, nodes, base, matching, local);
    return await finder.find(new UnitRules(units));
  } catch (error) {
    if (isGone(error)) return NOTHING;
    throw error;
  }
}

class Finder {
  readonly #context: BehindContext;
  readonly #nodes: NodeStore;
  readonly #base: BaseRoot;
  readonly #matching: Matching;
  readonly #local: LocalChanges;
  readonly #objects = new Map<FileId, ChangedObject>();
  readonly #files = new Map<Ino, Found>();
  readonly #notShown: Place[] = [];
  /** Ids of the epoch's own objects. */
  readonly #own: ReadonlySet<FileId | undefined>;
  readonly #inos: Map<FileId, Ino>;
  #lastIno: number;

  constructor(context: BehindContext, nodes: NodeStore, base: BaseRoot, matching: Matching, local: LocalChanges) {
    this.#context = context;
    this.#nodes = nodes;
    this.#base = base;
    this.#matching = matching;
    this.#local = local;
    this.#own = new Set(local.changes.map(({ object }) => object.id));
    this.#inos = new Map(Array.from(local.directories, ([ino, id]) => [id, ino]));
    this.#lastIno = matching.objects.length + 1;
    for (const ino of local.directories.keys()) this.#lastIno = Math.max(this.#lastIno, ino);
  }

  async find(rules: UnitRules): Promise<Behind> {
    const { db } = this.#context;
    const touched = new TouchedUnits(db, this.#nodes, this.#base.tree, rules);
    await touched.add(this.#matching, this.#local);
    if (touched.isEmpty) return NOTHING;
    const places = db.fact("compare all") === undefined ? touched.behind() : touched.all();
    for await (const place of places) await this.#compare(place);
    const directories = new Map(this.#local.directories);
    for (const [id, ino] of this.#inos) directories.set(ino, id);
    return { objects: [...this.#objects.values()], directories, files: this.#files, notShown: this.#notShown };
  }

  async #compare(place: Place): Promise<void> {
    const { db } = this.#context;
    const [entry, target] = [db.at(place), await this.#targetAt(place)];
    if (entry !== undefined && entry.id === target?.id && sameRecord(entry.record, target.record)) return;
    // What can never be in the folder counts as shown. What was ignored may no longer be.
    const reason = db.behind.reasonAt(place);
    if (reason !== undefined && STUCK.has(reason)) return;
    if (await this.#isIgnored(place, entry, target)) return;
    if (entry !== undefined) await this.#keep(entry);
    if (target === undefined || target.id === entry?.id) return;
    const [elsewhere] = db.byId(target.id);
    if (elsewhere === undefined) this.#notShown.push({ parent: place.parent, name: place.name });
    else await this.#keep(elsewhere);
  }

  /** Adds an object as the folder has it, with the directories that others moved or removed above it. */
  async #keep(entry: Entry): Promise<void> {
    const { id, record } = entry;
    if (this.#own.has(id) || this.#objects.has(id)) return;
    const { db } = this.#context;
    const baseNames: Place[] = db.byId(id).flatMap(({ parent, name }) => {
      return (parent === PARKED_ID ? db.parkedFrom(id) : { parent, name }) ?? [];
    });
    if (baseNames.length === 0) return;
    const ino = this.#inoOf(id);
    const names = baseNames.map(({ parent, name }) => ({ parent: this.#inoOf(parent), name }));
    this.#objects.set(id, { ino, id, baseNames, base: record, names, record, content: { kind: "same" } });
    if (record.type === "file") await this.#noteFile(ino, entry);
    for (const { parent } of baseNames) await this.#keepAbove(parent);
  }

  async #keepAbove(directory: FileId): Promise<void> {
    const [entry] = directory === ROOT_ID ? [] : this.#context.db.byId(directory);
    if (entry === undefined || this.#objects.has(directory)) return;
    if ((await this.#targetAt(entry))?.id !== directory) await this.#keep(entry);
    else await this.#keepAbove(entry.parent);
  }

  /** Notes a file; its bytes are read if the bucket no longer has the version that the folder shows. */
  async #noteFile(ino: Ino, entry: Entry): Promise<void> {
    const { db, disk } = this.#context;
    const path = pathInFolder(db, entry);
    const stat = path === undefined ? undefined : await lookBelow(disk, path);
    if (
      path === undefined ||
      stat === undefined ||
      stat === "closed" ||
      stat.type !== "file" ||
      !looksSame(entry.seen, stat)
    )
      return;
    this.#files.set(ino, foundAs({ path, stat, parent: undefined, name: entry.name }, NO_CHILDREN, false));
  }

  async #isIgnored(
    { parent, name }: Place,
    entry: Entry | undefined,
    target: TreeObject | undefined,
  ): Promise<boolean> {
    const { db, rules } = this.#context;
    const here = entry === undefined ? undefined : pathInFolder(db, entry);
    const above = here === undefined ? await pathOfDirectory(this.#nodes, this.#base.tree, parent) : undefined;
    const path = here ?? (above && [...above, name]);
    const type = (entry ?? target)?.record.type;
    return path !== undefined && rules.ignores(path, type === "directory");
  }

  #targetAt(place: Place): Promise<TreeObject | undefined> {
    return lookup(this.#nodes, this.#base.tree, place);
  }

  #inoOf(id: FileId): Ino {
    const ino = this.#matching.ofId(id)?.ino ?? this.#inos.get(id) ?? (++this.#lastIno as Ino);
    this.#inos.set(id, ino);
    return ino;
  }
}
