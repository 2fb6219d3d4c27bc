/**
 * Dead properties, which have a meaning only for clients. Each is an extended attribute of the file,
 * `user.webdav.{namespace}name`, whose value is its element as XML. It therefore moves with the file, is copied with it,
 * and merges as attributes do.
 */
import { createHash } from "node:crypto";
import { BoundedMap } from "../../base/bounded-map.ts";
import type { Cid } from "../../base/ids.ts";
import { MAX_NAME_BYTES, MAX_XATTR_BYTES } from "../../base/limits.ts";
import { BlockMiss } from "../../blocks/block-store.ts";
import type { FileSystem, ListedAttributes } from "../../vfs/filesystem.ts";
import { refuse } from "../../vfs/refusal.ts";
import { type DeadValue, parseDead } from "./dead-value.ts";
import type { PropertyName } from "./property-name.ts";
import type { XmlElement } from "../xml/xml-reader.ts";
import { writeAlone } from "../xml/xml-writer.ts";

/** The attribute that holds a property: one char a byte, like all attribute names. */
export function attributeOf(property: PropertyName): string {
  const plain = Buffer.from(`${PREFIX}${property}`).toString("latin1");
  if (plain.length <= MAX_NAME_BYTES) return plain;
  return `${LONG_PREFIX}${createHash("sha256").update(property).digest("hex").slice(0, 32)}`;
}

/** Refuses E2BIG. */
export function valueOf(element: XmlElement): Buffer {
  const text = writeAlone(element, MAX_XATTR_BYTES);
  if (text === undefined) throw refuse("E2BIG");
  return Buffer.from(text);
}

type Attributed = Pick<ListedAttributes, "ino" | "xattrs">;

/** The blocks that `deadProperties` of these would miss one after the other. */
export function blocksOfDead(all: readonly Attributed[]): Cid[] {
  return all.flatMap((of) => {
    try {
      void of.xattrs;
      return [];
    } catch (error) {
      if (!(error instanceof BlockMiss)) throw error;
      return error.cids;
    }
  });
}

/** A file's dead properties, as XML for an answer. Leaves out attributes that are not properties. Throws BlockMiss. */
export function deadProperties(fs: FileSystem, of: Attributed): ReadonlyMap<PropertyName, string> {
  const { xattrs } = of;
  let found: Map<PropertyName, string> | undefined;
  for (const attribute of xattrs?.keys() ?? fs.listXattrs(of.ino)) {
    if (!attribute.startsWith(PREFIX) && !attribute.startsWith(LONG_PREFIX)) continue;
    const value = xattrs === undefined ? fs.getXattr(of.ino, attribute) : xattrs.get(attribute);
    const property = value === undefined ? undefined : parse(value);
    if (property === undefined || attributeOf(property.name) !== attribute) continue;
    found ??= new Map();
    found.set(property.name, property.xml);
  }
  return found ?? NONE;
}

const PREFIX = "user.webdav.";
/** For names that are too long: the value has the name. */
const LONG_PREFIX = "user.webdav#";
const NONE: ReadonlyMap<PropertyName, string> = new Map();

/** Values are read repeatedly, and parsing one takes some 20 µs. */
const parsed = new BoundedMap<string, DeadValue | "none">(8_192);
const MAX_KEPT_BYTES = 1_024;

function parse(value: Uint8Array): DeadValue | undefined {
  const key = value.length > MAX_KEPT_BYTES ? undefined : Buffer.from(value).toString("latin1");
  const known = key === undefined ? undefined : parsed.get(key);
  if (known !== undefined) return known === "none" ? undefined : known;
  const property = parseDead(value);
  if (key !== undefined) parsed.set(key, property ?? "none");
  return property;
}
