/** Dead properties that are read without the parser. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { parseAny, parsePlain } from "../../../../src/webdav/properties/dead-value.ts";
import { DAV, XML, XMLNS } from "../../../../src/webdav/xml/xml-reader.ts";
import { writeAlone } from "../../../../src/webdav/xml/xml-writer.ts";

const letters = fc.string({
  unit: fc.constantFrom(...Array.from({ length: 96 }, (_, at) => String.fromCharCode(31 + at)), "é", "\u{1f600}", "\n"),
  maxLength: 12,
});
const namespace = fc.oneof(fc.constantFrom(DAV, XML, XMLNS, "", "urn:x", "http://example.com/a?b=c#d"), letters);
const name = fc.oneof(fc.constantFrom("note", "_a.b-c", "n0", "xml"), letters);

test("a plain value is read as the XML parser reads it", () => {
  let plain = 0;
  fc.assert(
    fc.property(namespace, name, letters, (namespace, name, text) => {
      const value = Buffer.from(
        writeAlone({ namespace, name, attributes: [], children: [text], lang: "" }, Infinity) ?? "",
      );
      const found = parsePlain(value);
      if (found === undefined) return;
      plain++;
      expect(found).toEqual(parseAny(value));
    }),
    { numRuns: 2_000 },
  );
  expect(plain).toBeGreaterThan(20);
});

test("a plain value with any byte changed is read as the XML parser reads it", () => {
  const value = Buffer.from('<n0:note xmlns:n0="urn:x">some text</n0:note>');
  const otherwise: string[] = [];
  for (let at = 0; at < value.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const changed = Buffer.from(value);
      changed[at] = byte;
      const found = parsePlain(changed);
      if (found !== undefined && found.xml !== parseAny(changed)?.xml) otherwise.push(changed.toString("latin1"));
    }
  }
  expect(otherwise).toEqual([]);
});
