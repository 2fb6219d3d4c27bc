/**
 * Reads XML from clients into small trees, under limits: no DOCTYPE, so no custom entities; bounded size, depth and number
 * of nodes.
 */
import { SaxesParser } from "saxes";
import { MAX_XML_DEPTH, MAX_XML_NODES } from "../limits.ts";
import { Refusal } from "../refusal.ts";

export interface XmlElement {
  readonly namespace: string;
  readonly name: string;
  /** Without namespace declarations and xml:lang. */
  readonly attributes: readonly XmlAttribute[];
  readonly children: readonly (XmlElement | string)[];
  /** The xml:lang in scope; "" if there is none. */
  readonly lang: string;
}

export interface XmlAttribute {
  readonly namespace: string;
  readonly name: string;
  readonly value: string;
}

export const DAV = "DAV:";

/** The root element. Throws a Refusal: 400 if it is not well-formed, has a DOCTYPE or exceeds a limit. */
export function readXml(bytes: Uint8Array): XmlElement {
  const parser = new SaxesParser({ xmlns: true, position: false });
  const open: Growing[] = [];
  let root: XmlElement | undefined;
  let nodes = 0;
  const count = () => {
    if (++nodes > MAX_XML_NODES) throw malformed(`it has more than ${MAX_XML_NODES} nodes`);
  };
  const text = (piece: string) => {
    count();
    open.at(-1)?.children.push(piece);
  };
  parser.on("error", (error) => {
    throw malformed(error.message);
  });
  parser.on("doctype", () => {
    throw malformed("it has a DOCTYPE");
  });
  parser.on("opentagstart", () => {
    count();
    if (open.length === MAX_XML_DEPTH) throw malformed(`it is nested more than ${MAX_XML_DEPTH} deep`);
  });
  parser.on("attribute", count);
  parser.on("text", text);
  parser.on("cdata", text);
  parser.on("opentag", ({ uri, local, attributes }) => {
    const element: Growing = {
      namespace: uri,
      name: local,
      attributes: [],
      children: [],
      lang: open.at(-1)?.lang ?? "",
    };
    for (const attribute of Object.values(attributes)) {
      if (attribute.uri === XMLNS) continue;
      if (attribute.uri === XML && attribute.local === "lang") element.lang = attribute.value;
      else element.attributes.push({ namespace: attribute.uri, name: attribute.local, value: attribute.value });
    }
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on("closetag", () => {
    root = open.pop();
  });
  parser.write(decode(bytes)).close();
  if (root === undefined) throw malformed("it is empty");
  return root;
}

/** The child elements of a name in the DAV: namespace, or all. */
export function elementsOf(parent: XmlElement, name?: string): XmlElement[] {
  return parent.children.filter(
    (child): child is XmlElement =>
      typeof child !== "string" && (name === undefined || (child.namespace === DAV && child.name === name)),
  );
}

export function isDav(element: XmlElement, name: string): boolean {
  return element.namespace === DAV && element.name === name;
}

/** The text in it, including that of nested elements. */
export function textOf(element: XmlElement): string {
  return element.children.map((child) => (typeof child === "string" ? child : textOf(child))).join("");
}

interface Growing extends XmlElement {
  readonly attributes: XmlAttribute[];
  readonly children: (XmlElement | string)[];
  lang: string;
}

export const XMLNS = "http://www.w3.org/2000/xmlns/";
export const XML = "http://www.w3.org/XML/1998/namespace";

function decode(bytes: Uint8Array): string {
  const mark = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Refusal(400, `The body is not valid ${encoding}.`, { cause });
  }
}

function malformed(reason: string): Refusal {
  return new Refusal(400, `The XML body is not accepted: ${reason}`);
}
