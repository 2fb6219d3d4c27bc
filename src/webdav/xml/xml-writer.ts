/** Writes elements as self-contained text: with the declarations of their namespaces. */
import { DAV, XML, type XmlElement } from "./xml-reader.ts";
import { escapeText } from "./xml-text.ts";

/** For use where "D" means DAV: and there is no default namespace. */
export function writeElement(element: XmlElement): string {
  return write(element, new Map([[DAV, "D"]]), "");
}

/** For storage: it declares all its namespaces. */
export function writeAlone(element: XmlElement): string {
  return write(element, new Map(), "");
}

/** As `writeElement`, without content: for a property that is only named. */
export function writeEmpty(namespace: string, name: string): string {
  return write({ namespace, name, attributes: [], children: [], lang: "" }, new Map([[DAV, "D"]]), "");
}

function writeChild(child: XmlElement | string, prefixes: ReadonlyMap<string, string>, lang: string): string {
  return typeof child === "string" ? escapeText(child) : write(child, prefixes, lang);
}

function write(element: XmlElement, around: ReadonlyMap<string, string>, outerLang: string): string {
  const prefixes = new Map(around);
  const declarations: string[] = [];
  const qualified = (namespace: string, name: string): string => {
    if (namespace === "") return name;
    if (namespace === XML) return `xml:${name}`;
    let prefix = prefixes.get(namespace);
    if (prefix === undefined) {
      prefix = `n${prefixes.size}`;
      prefixes.set(namespace, prefix);
      declarations.push(` xmlns:${prefix}="${escapeText(namespace)}"`);
    }
    return `${prefix}:${name}`;
  };
  const tag = qualified(element.namespace, element.name);
  const attributes = element.attributes.map(
    ({ namespace, name, value }) => ` ${qualified(namespace, name)}="${escapeText(value)}"`,
  );
  const lang = element.lang === outerLang ? "" : ` xml:lang="${escapeText(element.lang)}"`;
  const start = `${tag}${declarations.join("")}${lang}${attributes.join("")}`;
  const inner = element.children.map((child) => writeChild(child, prefixes, element.lang)).join("");
  return inner === "" ? `<${start}/>` : `<${start}>${inner}</${tag}>`;
}
