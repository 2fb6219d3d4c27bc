/** PROPPATCH: sets and removes properties, all or none. */
import type { Ino } from "../../base/ids.ts";
import { type AttributeChange, type Attributes, type FileSystem, FsError } from "../../vfs/filesystem.ts";
import type { Call } from "../call.ts";
import { attributeOf, deadProperties, valueOf } from "../properties/dead-properties.ts";
import { checkWritable, checkResourceLocks } from "../locks/change-check.ts";
import { encodePath } from "../href.ts";
import { MAX_DAV_XML_BYTES, MAX_PROPERTIES_ASKED } from "../limits.ts";
import { mtimeOfDate, mtimeOfSeconds } from "../properties/wanted-mtime.ts";
import { APACHE, LIVE_PROPERTIES, WIN32 } from "../properties/live-properties.ts";
import { Multistatus, propstat } from "../xml/multistatus.ts";
import { lookUpPath, isFolder } from "../../files/resolved-path.ts";
import { present } from "./path-checks.ts";
import { checkPreconditions } from "../locks/preconditions.ts";
import { propertyNameOf, partsOf, type PropertyName } from "../properties/property-name.ts";
import { checkNames } from "../properties/property-request.ts";
import { Refusal, refusalOf } from "../refusal.ts";
import { readWhole } from "../request-body.ts";
import { elementsOf, isDav, readXml, textOf, type XmlElement } from "../xml/xml-reader.ts";
import { writeEmpty } from "../xml/xml-writer.ts";

export async function proppatch(call: Call): Promise<void> {
  checkWritable(call);
  const instructions = parse(await readWhole(call, MAX_DAV_XML_BYTES));
  const state: Before = { xattrs: undefined };
  const { attributes, outcome } = await call.access.change(undefined, (fs) => {
    const found = lookUpPath(fs, call.href.path, "follow");
    const place = present(found);
    checkPreconditions(call, fs, found);
    checkResourceLocks(call, place.path);
    return { attributes: place.attributes, outcome: applyAll(fs, place.attributes, instructions, state) };
  });
  const answer = new Multistatus(call);
  const href = encodePath(call.href.path, isFolder(attributes));
  await answer.add(`<D:response><D:href>${href}</D:href>${propstats(instructions, outcome)}</D:response>`);
  await answer.end();
}

interface Instruction {
  readonly name: PropertyName;
  /** Undefined: remove it. */
  readonly value: XmlElement | undefined;
}

/** The first failure and its reason; undefined if all succeeded. */
type Outcome =
  | { readonly failed: Instruction; readonly status: number; readonly condition: string | undefined }
  | undefined;

function parse(body: Uint8Array): Instruction[] {
  const root = readXml(body);
  if (!isDav(root, "propertyupdate")) throw new Refusal(400, "The body must be a propertyupdate element.");
  const changes = elementsOf(root).flatMap((action) => {
    const isSet = isDav(action, "set");
    if (!isSet && !isDav(action, "remove")) return [];
    const properties = elementsOf(action, "prop").flatMap((prop) => elementsOf(prop));
    return properties.map((element) => ({ element, isSet }));
  });
  checkNames(changes.map(({ element }) => element));
  const instructions = changes.map(({ element, isSet }) => ({
    name: propertyNameOf(element),
    value: isSet ? element : undefined,
  }));
  if (instructions.length === 0) throw new Refusal(400, "There is nothing to set or remove.");
  if (instructions.length > MAX_PROPERTIES_ASKED) throw new Refusal(400, "Too many properties in one request.");
  return instructions;
}

/** The previous state, for undoing. */
interface Before {
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Call it again while it throws BlockMiss. */
function applyAll(
  fs: FileSystem,
  attributes: Attributes,
  instructions: readonly Instruction[],
  state: Before,
): Outcome {
  const { ino } = attributes;
  state.xattrs ??= new Map(fs.listXattrs(ino).map((name) => [name, fs.getXattr(ino, name) ?? new Uint8Array()]));
  for (const instruction of instructions) {
    try {
      apply(fs, attributes, instruction);
    } catch (error) {
      if (!(error instanceof Refusal) && !(error instanceof FsError)) throw error;
      restore(fs, attributes, state.xattrs);
      const refusal = refusalOf(error);
      return { failed: instruction, status: refusal.status, condition: refusal.details.condition };
    }
  }
  return undefined;
}

function apply(fs: FileSystem, { ino, mode }: Attributes, { name, value }: Instruction): void {
  const change = value === undefined ? undefined : SETTERS.get(name)?.(textOf(value).trim(), mode);
  if (change !== undefined) {
    fs.setAttributes(ino, change);
    return;
  }
  if (LIVE_PROPERTIES.has(name)) {
    throw new Refusal(403, "Only the server can change this property.", {
      condition: "cannot-modify-protected-property",
    });
  }
  if (value !== undefined) fs.setXattr(ino, attributeOf(name), valueOf(value), 0);
  // Removing a missing property is not an error.
  else if (deadProperties(fs, { ino }).has(name)) fs.removeXattr(ino, attributeOf(name));
}

/** Properties that change the file itself. They throw a Refusal, 409, for an invalid value. */
const SETTERS = new Map<PropertyName, (text: string, mode: number) => AttributeChange>([
  // Windows stores a file's time here; rclone and Nextcloud clients send seconds.
  [`{${WIN32}}Win32LastModifiedTime`, (text) => ({ mtimeNs: valid(mtimeOfDate(text)) })],
  ["{DAV:}lastmodified", (text) => ({ mtimeNs: valid(mtimeOfSeconds(text)) })],
  // davfs2 and cadaver know this one from Apache.
  [`{${APACHE}}executable`, (text, mode) => ({ mode: executable(text, mode & 0o7777) })],
]);

function valid(mtimeNs: bigint | undefined): bigint {
  if (mtimeNs === undefined) throw new Refusal(409, "The time is invalid.");
  return mtimeNs;
}

/** Everyone who may read it may run it. */
function executable(text: string, mode: number): number {
  if (text === "T") return mode | ((mode & 0o444) >> 2);
  if (text === "F") return mode & ~0o111;
  throw new Refusal(409, "executable must be T or F.");
}

function restore(fs: FileSystem, attributes: Attributes, xattrs: ReadonlyMap<string, Uint8Array>): void {
  const { ino, mode, mtimeNs } = attributes;
  for (const name of fs.listXattrs(ino)) if (!xattrs.has(name)) fs.removeXattr(ino, name);
  for (const [name, value] of xattrs) if (!isSame(fs, ino, name, value)) fs.setXattr(ino, name, value, 0);
  const now = fs.getAttributes(ino);
  if (now.mode !== mode || now.mtimeNs !== mtimeNs) fs.setAttributes(ino, { mode: mode & 0o7777, mtimeNs });
}

function isSame(fs: FileSystem, ino: Ino, name: string, value: Uint8Array): boolean {
  const now = fs.getXattr(ino, name);
  return now !== undefined && Buffer.from(now).equals(value);
}

function propstats(instructions: readonly Instruction[], outcome: Outcome): string {
  const names = (some: readonly Instruction[]) => [...new Set(some.map(({ name }) => name))].map(emptyOf).join("");
  if (outcome === undefined) return propstat(names(instructions), 200);
  const { failed, status, condition } = outcome;
  const others = instructions.filter(({ name }) => name !== failed.name);
  const why = condition === undefined ? "" : `<D:error><D:${condition}/></D:error>`;
  return propstat(names([failed]), status, why) + (others.length === 0 ? "" : propstat(names(others), 424));
}

function emptyOf(property: PropertyName): string {
  const { namespace, name } = partsOf(property);
  return writeEmpty(namespace, name);
}
