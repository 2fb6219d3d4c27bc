/** Writes elements as self-contained text: with the declarations of their namespaces. */
import { DAV, XML, type XmlElement } from "./xml-reader.ts";
import { escapeText } from "./xml-text.ts";

/** For use where "D" means DAV: and there is no default namespace. Undefined if its text would exceed `maxBytes`. */
export function writeElement(element: XmlElement, maxBytes: number): string | undefined {
  return within(maxBytes, new Writer([[DAV, "D"]], maxBytes).element(element, ""));
}

/** For storage: it declares all its namespaces. Undefined if its text would exceed `maxBytes`. */
export function writeAlone(element: XmlElement, maxBytes: number): string | undefined {
  return within(maxBytes, new Writer([], maxBytes).element(element, ""));
}

/** As `writeElement`, without content: for a property that is only named. */
export function writeEmpty(namespace: string, name: string): string {
  const empty = { namespace, name, attributes: [], children: [], lang: "" };
  return new Writer([[DAV, "D"]], Infinity).element(empty, "");
}

function within(maxBytes: number, text: string): string | undefined {
  return Buffer.byteLength(text) > maxBytes ? undefined : text;
}

class Writer {
  /** Of the namespaces declared around what is written now. */
  readonly #prefixes: Map<string, string>;
  /**
   * The text can be far longer than what was read, since each sibling declares its namespaces again. Below 0, writing stops.
   */
  #roomLeft: number;

  constructor(around: readonly (readonly [namespace: string, prefix: string])[], room: number) {
    this.#prefixes = new Map(around);
    this.#roomLeft = room;
  }

  element(element: XmlElement, outerLang: string): string {
    const declared: string[] = [];
    const declarations: string[] = [];
    const qualified = (namespace: string, name: string): string => {
      if (namespace === "") return name;
      if (namespace === XML) return `xml:${name}`;
      let prefix = this.#prefixes.get(namespace);
      if (prefix === undefined) {
        prefix = `n${this.#prefixes.size}`;
        this.#prefixes.set(namespace, prefix);
        declared.push(namespace);
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
    this.#roomLeft -= start.length;
    const inner = this.#children(element);
    for (const namespace of declared) this.#prefixes.delete(namespace);
    return inner === "" ? `<${start}/>` : `<${start}>${inner}</${tag}>`;
  }

  #children({ children, lang }: XmlElement): string {
    let inner = "";
    for (const child of children) {
      if (this.#roomLeft < 0) break;
      inner += typeof child === "string" ? this.#text(child) : this.element(child, lang);
    }
    return inner;
  }

  #text(text: string): string {
    const escaped = escapeText(text);
    this.#roomLeft -= escaped.length;
    return escaped;
  }
}
