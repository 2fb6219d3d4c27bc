/**
 * How a merge must treat units (docs/design/merge.md, Units): a unit that both sides changed ends as one side has it, never
 * mixed. Judges only plain cases: no object of the unit is also outside of it in any tree.
 */
import type { FileId } from "../../base/ids.ts";
import type { UnitRules } from "../../fstree/merge/units/unit-rules.ts";
import { cidOf } from "../../format/blocks/cid.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { Survey, SurveyedMerge } from "./tree-survey.ts";

/** Path in the unit → the object there. */
type Contents = ReadonlyMap<string, { readonly id: FileId; readonly version: string }>;

export function tornUnits(merged: SurveyedMerge): string[] {
  const { base, winner, loser, result, units } = merged;
  const roots = [...base.values()].filter(({ id, names, record }) => {
    if (record.type !== "directory" || !names.every(({ name }) => units.isTree(name))) return false;
    // Moving a unit across another's border, or renaming it to a name that is no unit's, changes both units.
    const around = [base, winner, loser].map((survey) => survey.has(id) && unitsAround(survey, id, units));
    return around.every((each) => each === false || each === around[0]);
  });
  const trees = roots.map(({ id, places }) => {
    return { what: places.join(), of: (survey: Survey) => treeOf(survey, id) };
  });
  const families = familiesIn([base, winner, loser], units).map(({ parent, main }) => {
    const names = new Set(["", ...units.suffixesOf(main as never)].map((suffix) => main + suffix));
    return { what: `${parent} ${main}`, of: (survey: Survey) => familyOf(survey, parent, names) };
  });
  return [...trees, ...families].flatMap(({ what, of }) => {
    const before = [base, winner, loser].map(of);
    const [old, ours, theirs] = before;
    const after = of(result);
    if (old === undefined || ours === undefined || theirs === undefined || after === undefined) return [];
    if (before.every((contents) => (contents?.size ?? 0) < 2)) return [];
    const ids = new Set(before.flatMap((contents) => [...(contents?.values() ?? [])].map(({ id }) => id)));
    const crosses = [base, winner, loser].some((survey, index) => {
      const inside = new Set([...(before[index]?.values() ?? [])].map(({ id }) => id));
      return [...ids].some((id) => survey.has(id) && !inside.has(id));
    });
    const [was, won, lost, is] = [old, ours, theirs, after].map(textOf);
    if (crosses || was === won || was === lost || won === lost || is === won || is === lost) return [];
    return [`a merge mixes both sides of the unit ${what}`];
  });
}

/** Undefined: the unit is missing, lies in another unit, or one of its objects has another name. */
function treeOf(survey: Survey, root: FileId): Contents | undefined {
  if (!survey.has(root)) return undefined;
  const contents = new Map<string, { id: FileId; version: string }>();
  const open = [{ directory: root, path: "" }];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { directory, path } = at;
    for (const { id, names, record } of survey.values()) {
      const name = names.find(({ parent }) => parent === directory)?.name;
      if (name === undefined) continue;
      if (names.length > 1) return undefined;
      contents.set(`${path}/${name}`, { id, version: versionOf(record) });
      if (record.type === "directory") open.push({ directory: id, path: `${path}/${name}` });
    }
  }
  return contents;
}

function familyOf(survey: Survey, parent: FileId, names: ReadonlySet<string>): Contents | undefined {
  const contents = new Map<string, { id: FileId; version: string }>();
  for (const object of survey.values()) {
    const name = object.names.find((place) => place.parent === parent && names.has(place.name))?.name;
    if (name === undefined) continue;
    if (object.names.length > 1 || object.record.type !== "file") return undefined;
    contents.set(name, { id: object.id, version: versionOf(object.record) });
  }
  return contents;
}

function familiesIn(surveys: readonly Survey[], units: UnitRules): { parent: FileId; main: string }[] {
  const found = new Map<string, { parent: FileId; main: string }>();
  for (const survey of surveys)
    for (const { names } of survey.values())
      for (const { parent, name } of names)
        for (const main of units.mainsOf(name)) found.set(`${parent} ${main}`, { parent, main });
  return [...found.values()].filter(({ parent }) => surveys.every((survey) => !liesInTree(survey, parent, units)));
}

/** The units that contain an object, its own included, as one text. */
function unitsAround(survey: Survey, id: FileId, units: UnitRules): string {
  const found: FileId[] = [];
  for (let at = survey.get(id); at !== undefined && !found.includes(at.id);) {
    const [place] = at.names;
    if (place === undefined) break;
    if (units.isTree(place.name)) found.push(at.id);
    at = survey.get(place.parent);
  }
  return found.join();
}

function liesInTree(survey: Survey, directory: FileId, units: UnitRules): boolean {
  const seen = new Set<FileId>();
  for (let at = survey.get(directory); at !== undefined && !seen.has(at.id);) {
    seen.add(at.id);
    const [place] = at.names;
    if (place === undefined) return false;
    if (units.isTree(place.name)) return true;
    at = survey.get(place.parent);
  }
  return false;
}

function versionOf({ type, size, content, target }: FileRecord): string {
  const bytes = content.kind === "inline" ? cidOf("raw", content.bytes) : content.kind === "empty" ? "" : content.cid;
  return [type, type === "file" ? `${size} ${bytes}` : JSON.stringify(target)].join(" ");
}

function textOf(contents: Contents): string {
  return [...contents]
    .map(([path, { version }]) => `${path} ${version}`)
    .sort()
    .join("\n");
}
