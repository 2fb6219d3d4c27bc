/** Names of properties: "{namespace}name", in James Clark's notation. */
import type { XmlElement } from "../xml/xml-reader.ts";

export type PropertyName = `{${string}}${string}`;

export function propertyNameOf({ namespace, name }: Pick<XmlElement, "namespace" | "name">): PropertyName {
  return `{${namespace}}${name}`;
}

export function partsOf(property: PropertyName): { readonly namespace: string; readonly name: string } {
  const end = property.lastIndexOf("}");
  return { namespace: property.slice(1, end), name: property.slice(end + 1) };
}
