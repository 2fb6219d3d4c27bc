/**
 * Checks the laws of a merge (docs/design/merge.md): each check returns what is wrong, as texts. Units that both sides
 * changed (`except`) are checked elsewhere (unit-laws.ts).
 */
import { isDeepStrictEqual } from "node:util";
import type { Cid, FileId } from "../../src/base/ids.ts";
import type { Conflict } from "../../src/fstree/merge/conflict.ts";
import type { MergeContext } from "../../src/fstree/merge/context.ts";
import { readContent } from "../../src/content/read.ts";
import type { FileRecord } from "../../src/format/files/record.ts";
import type { NodeStore } from "../../src/tree/node-store.ts";
import { takeCensus } from "./tree-census.ts";
import type { CensusObject } from "./tree-census.ts";

/** A tree with all that the checks need of it. */
export interface Surveyed {
  readonly objects: ReadonlyMap<FileId, CensusObject>;
  /** Contents of files and targets of symlinks, by object. */
  readonly texts: ReadonlyMap<FileId, string>;
  /** What identifies versions: each line of a text with lines, otherwise the whole text. */
  readonly tokens: ReadonlySet<string>;
  readonly versions: ReadonlySet<string>;
}

export async function survey(context: MergeContext, tree: Cid): Promise<Surveyed> {
  const objects = await takeCensus(context.nodes as NodeStore, tree);
  const texts = new Map<FileId, string>();
  for (const { id, record } of objects.values())
    if (record.type !== "directory") texts.set(id, await textOf(context, record));
  return { objects, texts, tokens: new Set([...texts.values()].flatMap(tokensOf)), versions: new Set(texts.values()) };
}

/** Law 4: each version that a side made is there; of a text with lines, each line that it added. */
export function lostVersions(base: Surveyed, side: Surveyed, merged: Surveyed): string[] {
  return [...side.texts].flatMap(([id, text]) => {
    const before = base.texts.get(id);
    if (before === text || merged.versions.has(text)) return [];
    const added = tokensOf(text).filter((token) => !tokensOf(before ?? "").includes(token));
    const lost = added.filter((token) => !merged.tokens.has(token));
    return lost.length > 0 || !text.includes("\n") ? [`lost: ${JSON.stringify(text)} of ${id}`] : [];
  });
}

/** Law 5: what one side deleted and the other left alone is gone, except ancestors and contents of moved directories. */
export function resurrections(
  base: Surveyed,
  deleter: Surveyed,
  other: Surveyed,
  merged: Surveyed,
  except: ReadonlySet<FileId> = new Set(),
): string[] {
  const back = new Set<FileId>();
  for (const object of base.objects.values()) {
    const { id } = object;
    if (except.has(id) || deleter.objects.has(id) || !merged.objects.has(id)) continue;
    if (isLeftAlone(object, base, other) && !liesInMoved(object, base, deleter, other)) back.add(id);
  }
  const needed = new Set<FileId>();
  const open = [...merged.objects.values()].filter(({ id }) => !back.has(id));
  for (let object = open.pop(); object !== undefined; object = open.pop()) {
    for (const parent of object.names.map(parentOf)) {
      const directory = merged.objects.get(parent);
      if (directory === undefined || needed.has(parent)) continue;
      needed.add(parent);
      open.push(directory);
    }
  }
  return [...back].flatMap((id) => {
    const { record, names } = base.objects.get(id) ?? {};
    if (record?.type === "directory" && needed.has(id)) return [];
    return [`deleted by one side only, and back: ${id} ${names}`];
  });
}

/** Law 6: what one side alone changed ends as that side left it. */
export function brokenIntentions(
  base: Surveyed,
  side: Surveyed,
  other: Surveyed,
  merged: Surveyed,
  conflicts: readonly Conflict[],
  except: ReadonlySet<FileId> = new Set(),
): string[] {
  const involved = new Set(conflicts.flatMap(({ kind, ids }) => (kind === "copy" ? [] : [ids.other, ids.kept])));
  return [...side.objects.values()].flatMap((object) => {
    const { id } = object;
    if (except.has(id)) return [];
    if (!sameObject(base.objects.get(id), other.objects.get(id))) return [];
    if (base.objects.has(id) && sameObject(base.objects.get(id), object)) return [];
    const result = merged.objects.get(id);
    if (result === undefined) return isReplaced(object, side, merged) ? [] : [`gone: ${id} ${object.names}`];
    if (!isDeepStrictEqual(result.record, object.record)) return [`changed: ${id} ${object.names}`];
    const strayed = object.names.filter((name) => {
      const parent = parentOf(name);
      const split = side.objects.has(parent) && other.objects.has(parent) && !base.objects.has(parent);
      if (result.names.includes(name) || !merged.objects.has(parent) || split || involved.has(id)) return false;
      // If it already has a displaced conflict name, it only loses a name.
      return !object.names.some((other) => result.names.includes(other) && other.replace(CONFLICT_MARK, "") === name);
    });
    return strayed.map((name) => `not where it was put: ${id} ${name}, but ${result.names}`);
  });
}

const CONFLICT_MARK = / \(conflict [0-9a-f]{8,64}(?: \d+)?\)/;

/**
 * The table: a rename, a new link or new content survives the other side's delete, and so do objects that the deleter
 * removed inside a directory that this side moved.
 */
export function lostSurvivors(
  base: Surveyed,
  side: Surveyed,
  deleter: Surveyed,
  merged: Surveyed,
  except: ReadonlySet<FileId> = new Set(),
): string[] {
  return [...side.objects.values()].flatMap((object) => {
    const before = base.objects.get(object.id);
    if (except.has(object.id)) return [];
    if (before === undefined || deleter.objects.has(object.id) || merged.objects.has(object.id)) return [];
    const gained = object.names.some((name) => !before.names.includes(name));
    const edited = base.texts.get(object.id) !== side.texts.get(object.id);
    const unmoved = before.names.some((name) => object.names.includes(name));
    const carried = unmoved && liesInMoved(object, base, deleter, side);
    if (!gained && !edited && !carried) return [];
    return isReplaced(object, side, merged) ? [] : [`not survived: ${object.id} ${object.names}`];
  });
}

/** Law 8: of two versions of a file, at most one is a copy. */
export function excessCopies(conflicts: readonly Conflict[]): string[] {
  // Units that share a file by hard link may each have a copy.
  const owners = conflicts
    .filter(({ kind }) => kind === "copy")
    .map(({ rule, ids, names }) => (rule === "units" ? `${ids.kept} ${names.kept.join("/")}` : ids.kept));
  return owners.filter((id, index) => owners.indexOf(id) !== index).map((id) => `two copies of ${id}`);
}

function sameObject(a: CensusObject | undefined, b: CensusObject | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return isDeepStrictEqual(a.record, b.record) && isDeepStrictEqual(a.names, b.names);
}

/** Whether a side neither moved it nor wrote to it: other changes do not save it from a delete. */
function isLeftAlone({ id, record, names }: CensusObject, base: Surveyed, other: Surveyed): boolean {
  const found = other.objects.get(id);
  return (
    found?.record.type === record.type &&
    isDeepStrictEqual(found.names, names) &&
    other.texts.get(id) === base.texts.get(id)
  );
}

/** Whether another file has equal bytes, or a new directory was folded into one with its name. */
function isReplaced(object: CensusObject, side: Surveyed, merged: Surveyed): boolean {
  if (object.record.type === "directory") return true;
  return merged.versions.has(side.texts.get(object.id) ?? "");
}

/** Whether the other side moved a directory that contained the object. */
function liesInMoved(object: CensusObject, base: Surveyed, deleter: Surveyed, other: Surveyed): boolean {
  const open = object.names.map(parentOf);
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const directory = base.objects.get(id);
    if (directory === undefined || deleter.objects.has(id)) continue;
    const elsewhere = other.objects.get(id);
    if (elsewhere !== undefined && !isDeepStrictEqual(elsewhere.names, directory.names)) return true;
    open.push(...directory.names.map(parentOf));
  }
  return false;
}

function parentOf(name: string): FileId {
  return name.slice(0, 32) as FileId;
}

function tokensOf(text: string): string[] {
  return text.includes("\n") ? text.split("\n") : [text];
}

async function textOf({ content: source }: MergeContext, record: FileRecord): Promise<string> {
  if (record.type === "symlink") return `-> ${String(record.target)}`;
  return Buffer.from(await readContent(source, record.content, record.size, 0, record.size)).toString("utf8");
}
