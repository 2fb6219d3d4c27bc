/** The stored form of a dead property: its element as XML. */
import { MAX_DAV_XML_BYTES } from "../limits.ts";
import { propertyNameOf, type PropertyName } from "./property-name.ts";
import { Refusal } from "../refusal.ts";
import { DAV, readXml, XML, XMLNS } from "../xml/xml-reader.ts";
import { writeElement } from "../xml/xml-writer.ts";

export interface DeadValue {
  readonly name: PropertyName;
  /** For use in an answer. */
  readonly xml: string;
}

/** Undefined: it is not an element, or too long for an answer. */
export function parseDead(value: Uint8Array): DeadValue | undefined {
  return parsePlain(value) ?? parseAny(value);
}

/** Reads the commonest form, one element of plain ASCII text, without the XML parser, which takes ten times as long. */
export function parsePlain(value: Uint8Array): DeadValue | undefined {
  const [, name, namespace, text] = PLAIN.exec(Buffer.from(value).toString("latin1")) ?? [];
  if (name === undefined || namespace === undefined || RESERVED.has(namespace)) return undefined;
  return { name: propertyNameOf({ namespace, name }), xml: `<n1:${name} xmlns:n1="${namespace}">${text}</n1:${name}>` };
}

export function parseAny(value: Uint8Array): DeadValue | undefined {
  try {
    const element = readXml(value);
    const xml = writeElement(element, MAX_DAV_XML_BYTES);
    return xml === undefined ? undefined : { name: propertyNameOf(element), xml };
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

/** Printable ASCII text without characters that XML escapes. */
const PLAIN = /^<n0:([A-Za-z_][\w.-]*) xmlns:n0="([\w:/.#?=-]+)">([ !#-%(-;=?-~]+)<\/n0:\1>$/;
const RESERVED: ReadonlySet<string> = new Set([DAV, XML, XMLNS]);
