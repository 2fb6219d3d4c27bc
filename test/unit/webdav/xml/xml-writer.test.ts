/** Writing XML elements that clients sent: the work stays near the size of what was read, and of what is kept. */
import { expect, test, vi } from "vitest";
import type { XmlElement } from "../../../../src/webdav/xml/xml-reader.ts";
import { writeAlone, writeElement } from "../../../../src/webdav/xml/xml-writer.ts";

function element(parts: Partial<XmlElement>): XmlElement {
  return { namespace: "", name: "e", attributes: [], children: [], lang: "", ...parts };
}

/** How many entries maps are given while `work` runs. */
function entriesSet(work: () => void): number {
  using set = vi.spyOn(Map.prototype, "set");
  work();
  return set.mock.calls.length;
}

test("a namespace is noted once for each declaration, however many children follow and whatever they declare", () => {
  const attributes = Array.from({ length: 300 }, (_, at) => ({ namespace: `u${at}`, name: "x", value: "" }));
  const children = Array.from({ length: 300 }, (_, at) => element({ namespace: at % 2 === 0 ? "u1" : `v${at}` }));
  const around = element({ attributes, children });
  let text: string | undefined;
  expect(entriesSet(() => (text = writeAlone(around, Infinity)))).toBe(450);
  expect(text).toContain('<n1:e/><n300:e xmlns:n300="v1"/><n1:e/><n300:e xmlns:n300="v3"/>');
});

test("an element that would be longer than wanted is not written to its end", () => {
  let written = 0;
  const child: XmlElement = {
    get name() {
      written++;
      return "e";
    },
    namespace: "u".repeat(100),
    attributes: [],
    children: [],
    lang: "",
  };
  const children = Array.from({ length: 1_000 }, () => child);
  expect(writeElement(element({ children }), 1_000)).toBeUndefined();
  expect(written).toBeLessThan(20);
});

test.each(["plain", "\u00e4".repeat(5), "<&>"])("an element may have exactly the wanted bytes (%s)", (text) => {
  const whole = writeElement(element({ children: [text] }), Infinity) ?? "";
  expect(writeElement(element({ children: [text] }), Buffer.byteLength(whole))).toBe(whole);
  expect(writeElement(element({ children: [text] }), Buffer.byteLength(whole) - 1)).toBeUndefined();
});
