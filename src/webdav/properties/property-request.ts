/** The properties that a client asks for: the body of a PROPFIND, or the prop element of a report. */
import { MAX_PROPERTIES_ASKED, MAX_PROPERTY_NAME_CHARS } from "../limits.ts";
import { deadProperties } from "./dead-properties.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import { LIVE_PROPERTIES, type Shown, type Surroundings } from "./live-properties.ts";
import { propertyResponse } from "../xml/multistatus.ts";
import { propertyNameOf, partsOf, type PropertyName } from "./property-name.ts";
import { Refusal } from "../refusal.ts";
import { elementsOf, isDav, readXml, type XmlElement } from "../xml/xml-reader.ts";
import { writeEmpty } from "../xml/xml-writer.ts";

export type PropertyRequest =
  | { readonly kind: "named"; readonly names: readonly PropertyName[] }
  | { readonly kind: "all"; readonly include: readonly PropertyName[] }
  | { readonly kind: "names" };

/** No body means all properties. Throws a Refusal, 400. */
export function parsePropfind(body: Uint8Array): PropertyRequest {
  if (body.length === 0) return { kind: "all", include: [] };
  const root = readXml(body);
  if (!isDav(root, "propfind")) throw new Refusal(400, "The body must be a propfind element.");
  const [prop, ...more] = elementsOf(root, "prop");
  const isAll = elementsOf(root, "allprop").length > 0;
  const isNames = elementsOf(root, "propname").length > 0;
  if (more.length > 0 || Number(prop !== undefined) + Number(isAll) + Number(isNames) !== 1) {
    throw new Refusal(400, "A propfind element must have exactly one of prop, allprop and propname.");
  }
  if (isNames) return { kind: "names" };
  if (prop !== undefined) return { kind: "named", names: namesIn([prop]) };
  return { kind: "all", include: namesIn(elementsOf(root, "include")) };
}

/** The names of their elements. Throws a Refusal, 400, if there are too many, or they are too long. */
export function namesIn(parents: readonly XmlElement[]): PropertyName[] {
  const elements = parents.flatMap((parent) => elementsOf(parent));
  checkNames(elements);
  const names = new Set(elements.map(propertyNameOf));
  if (names.size > MAX_PROPERTIES_ASKED) throw new Refusal(400, "Too many properties in one request.");
  return [...names];
}

/** Call it before `propertyNameOf`: all may share one long namespace. Throws a Refusal, 400, if their names are too long. */
export function checkNames(elements: readonly XmlElement[]): void {
  let chars = 0;
  for (const { namespace, name } of elements) chars += namespace.length + name.length;
  if (chars <= MAX_PROPERTY_NAME_CHARS) return;
  const message = `The names of properties in one request may have at most ${MAX_PROPERTY_NAME_CHARS} characters.`;
  throw new Refusal(400, message);
}

/** Whether any of them is not a live property. */
export function asksDead(asked: PropertyRequest): boolean {
  return asked.kind !== "named" || asked.names.some((name) => !LIVE_PROPERTIES.has(name));
}

/** Returns a function that answers for one resource. It throws BlockMiss. */
export function responder(
  asked: PropertyRequest,
  around: Surroundings,
): (fs: FileSystem, href: string, shown: Shown) => string {
  if (asked.kind === "names") return (fs, href, shown) => propertyResponse(href, namesOf(fs, shown, around), "");
  if (asked.kind === "named") return named(asked.names, around);
  const extra = asked.include.filter((name) => !COMMON.some(([common]) => common === name));
  const answerExtra = parts(
    extra.filter((name) => LIVE_PROPERTIES.has(name)),
    around,
  );
  return (fs, href, shown) => {
    let found = "";
    for (const [, property] of COMMON) found += property.read(shown, around) ?? "";
    found += answerExtra(fs, shown).found;
    for (const [name, xml] of deadProperties(fs, shown.attributes)) if (!LIVE_PROPERTIES.has(name)) found += xml;
    return propertyResponse(href, found, "");
  };
}

const COMMON = [...LIVE_PROPERTIES].filter(([, { isCommon }]) => isCommon);

function named(names: readonly PropertyName[], around: Surroundings) {
  const read = parts(names, around);
  return (fs: FileSystem, href: string, shown: Shown): string => {
    const { found, missing } = read(fs, shown);
    return propertyResponse(href, found, missing);
  };
}

interface Part {
  readonly name: PropertyName;
  readonly empty: string;
  readonly live: ReturnType<(typeof LIVE_PROPERTIES)["get"]>;
}

function parts(names: readonly PropertyName[], around: Surroundings) {
  const wanted = names.map((name): Part => {
    const { namespace, name: local } = partsOf(name);
    return { name, empty: writeEmpty(namespace, local), live: LIVE_PROPERTIES.get(name) };
  });
  const asksDead = wanted.some(({ live }) => live === undefined);
  return (fs: FileSystem, shown: Shown): { readonly found: string; readonly missing: string } => {
    const dead = asksDead ? deadProperties(fs, shown.attributes) : undefined;
    let found = "";
    let missing = "";
    for (const { name, empty, live } of wanted) {
      const xml = live === undefined ? dead?.get(name) : live.read(shown, around);
      if (xml === undefined) missing += empty;
      else found += xml;
    }
    return { found, missing };
  };
}

function namesOf(fs: FileSystem, shown: Shown, around: Surroundings): string {
  let names = "";
  for (const [name, property] of LIVE_PROPERTIES) {
    if (property.read(shown, around) !== undefined) names += emptyOf(name);
  }
  for (const name of deadProperties(fs, shown.attributes).keys()) {
    if (!LIVE_PROPERTIES.has(name)) names += emptyOf(name);
  }
  return names;
}

function emptyOf(property: PropertyName): string {
  const { namespace, name } = partsOf(property);
  return writeEmpty(namespace, name);
}
