/**
 * Phase 0: an id that was born on both sides at different places is two objects; the loser's gets a new id.
 *
 * Parents come first, since the contents of a split directory then have other places. From here on, the loser's tree is
 * read through `SplitView`, as if it had always used the new ids.
 */
import type { FileId, WriterId } from "../../base/ids.ts";
import { ROOT_ID } from "../../base/ids.ts";
import { splitId } from "../../format/files/keys.ts";
import type { TreeObject } from "../fs-reader.ts";
import type { Place } from "../object-rows.ts";
import { hasName, sortPlaces } from "./objects.ts";
import type { Child, View } from "./snapshot.ts";
import type { Triple } from "./triple.ts";

/** The new ids of the loser's objects, both ways. */
export class Splits {
  readonly #fresh = new Map<FileId, FileId>();
  readonly #stored = new Map<FileId, FileId>();

  get size(): number {
    return this.#fresh.size;
  }

  add(stored: FileId, fresh: FileId): void {
    this.#fresh.set(stored, fresh);
    this.#stored.set(fresh, stored);
  }

  /** [id in the loser's tree, new id]. */
  entries(): IterableIterator<[FileId, FileId]> {
    return this.#fresh.entries();
  }

  /** Whether the loser's tree has another object's rows under this id. */
  hides(id: FileId): boolean {
    return this.#fresh.has(id);
  }

  isFresh(id: FileId): boolean {
    return this.#stored.has(id);
  }

  /** From ids of the loser's tree to the new ids. */
  renew(object: TreeObject): TreeObject {
    return mapped(object, this.#fresh);
  }

  /** From the new ids to those of the loser's tree. */
  stored<Object extends Named>(object: Object): Object {
    return mapped(object, this.#stored);
  }

  storedId(id: FileId): FileId {
    return this.#stored.get(id) ?? id;
  }

  renewedId(id: FileId): FileId {
    return this.#fresh.get(id) ?? id;
  }
}

/** The loser's tree with its split objects under their new ids. */
export class SplitView implements View {
  readonly #inner: View;
  readonly #splits: Splits;

  constructor(inner: View, splits: Splits) {
    this.#inner = inner;
    this.#splits = splits;
  }

  async object(id: FileId, hints: Iterable<Place> = []): Promise<TreeObject | undefined> {
    if (this.#splits.hides(id)) return undefined;
    const places = [...hints]
      .filter(({ parent }) => !this.#splits.hides(parent))
      .map((place) => this.#storedPlace(place));
    const object = await this.#inner.object(this.#splits.storedId(id), places);
    return object === undefined ? undefined : this.#splits.renew(object);
  }

  remembered(directory: FileId): TreeObject | undefined {
    if (this.#splits.hides(directory)) return undefined;
    const object = this.#inner.remembered(this.#splits.storedId(directory));
    return object === undefined ? undefined : this.#splits.renew(object);
  }

  async at(place: Place): Promise<TreeObject | undefined> {
    if (this.#splits.hides(place.parent)) return undefined;
    const object = await this.#inner.at(this.#storedPlace(place));
    return object === undefined ? undefined : this.#splits.renew(object);
  }

  async *children(directory: FileId): AsyncGenerator<Child> {
    if (this.#splits.hides(directory)) return;
    for await (const { id, place, object } of this.#inner.children(this.#splits.storedId(directory))) {
      const child = { id: this.#splits.renewedId(id), place: { parent: directory, name: place.name } };
      yield object === undefined ? child : { ...child, object: this.#splits.renew(object) };
    }
  }

  #storedPlace({ parent, name }: Place): Place {
    return { parent: this.#splits.storedId(parent), name };
  }
}

/** Finds the changed objects that have to be split, and changes the triples accordingly. */
export async function splitBirths(
  triples: Map<FileId, Triple>,
  views: readonly View[],
  loser: { readonly writer: WriterId; readonly epoch: number },
): Promise<Splits> {
  const splits = new Splits();
  const visited = new Set<FileId>();
  const visit = async (id: FileId): Promise<void> => {
    const { base, winner: winners, loser: losers } = triples.get(id) ?? {};
    if (visited.has(id) || id === ROOT_ID) return;
    if (base !== undefined || winners === undefined || losers === undefined) return;
    visited.add(id);
    for (const { parent } of losers.names) await visit(parent);
    const renewed = splits.renew(losers);
    const meets = renewed.names.some((name) => hasName(winners, name));
    if (meets && winners.record.type === losers.record.type) return;
    const parent = renewed.names[0]?.parent ?? id;
    let fresh = splitId(parent, id, loser.writer, loser.epoch);
    while (splits.isFresh(fresh) || (await isAlive(fresh, views)))
      fresh = splitId(parent, fresh, loser.writer, loser.epoch);
    splits.add(id, fresh);
  };
  const made = [...triples].filter(([, { base, winner: a, loser: b }]) => base === undefined && a && b);
  for (const id of made.map(([made]) => made).sort()) await visit(id);
  if (splits.size > 0) renewTriples(triples, splits);
  return splits;
}

/** Whether one of the trees has this id. It must not be a birth id: finding those needs a place. */
export async function isAlive(id: FileId, views: readonly View[]): Promise<boolean> {
  for (const view of views) if ((await view.object(id)) !== undefined) return true;
  return false;
}

function renewTriples(triples: Map<FileId, Triple>, splits: Splits): void {
  const stored = [...triples];
  for (const [id, triple] of stored) {
    if (triple.loser === undefined) continue;
    const loser = splits.renew(triple.loser);
    if (loser.id === id) triples.set(id, { ...triple, loser });
    else {
      triples.set(id, { ...triple, loser: undefined });
      triples.set(loser.id, { base: undefined, winner: undefined, loser });
    }
  }
}

type Named = Pick<TreeObject, "id" | "names">;

function mapped<Object extends Named>(object: Object, ids: ReadonlyMap<FileId, FileId>): Object {
  const id = ids.get(object.id) ?? object.id;
  if (id === object.id && !object.names.some(({ parent }) => ids.has(parent))) return object;
  const names = object.names.map(({ parent, name }) => ({ parent: ids.get(parent) ?? parent, name }));
  return { ...object, id, names: sortPlaces(names) };
}
