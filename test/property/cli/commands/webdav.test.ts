/** Whatever a client sends to the WebDAV door, it gets an answer that says what was wrong with it, and the door goes on. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseTarget, encodePath } from "../../../../src/webdav/href.ts";
import { parseIf } from "../../../../src/webdav/locks/if-header.ts";
import { parseRanges } from "../../../../src/webdav/methods/ranges.ts";
import { Refusal } from "../../../../src/webdav/refusal.ts";
import { readXml } from "../../../../src/webdav/xml/xml-reader.ts";
import { writeAlone } from "../../../../src/webdav/xml/xml-writer.ts";
import { DavServer } from "../../../support/dav-server.ts";

const BODIES: readonly (readonly [method: string, body: string])[] = [
  [
    "PROPFIND",
    '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><x xmlns="u"/></D:prop></D:propfind>',
  ],
  ["PROPFIND", '<propfind xmlns="DAV:"><allprop/><include><quota-used-bytes/></include></propfind>'],
  [
    "PROPPATCH",
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><a xmlns="u" xml:lang="x">v</a></D:prop></D:set></D:propertyupdate>',
  ],
  [
    "LOCK",
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>',
  ],
];

const splice = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  drop: fc.integer({ min: 0, max: 12 }),
  put: fc.oneof(
    fc.constantFrom("<", "&", "]]>", "<!--", "<!DOCTYPE x>", "&a;", "&#0;", "\0", "<a>", "xmlns:a=''"),
    fc.string({ maxLength: 4 }),
  ),
});

function mutated(text: string, splices: readonly { at: number; drop: number; put: string }[]): string {
  let result = text;
  for (const { at, drop, put } of splices) {
    const from = Math.floor(at * result.length);
    result = result.slice(0, from) + put + result.slice(from + drop);
  }
  return result;
}

/** What it answers; undefined when it is refused as it may be. */
function attempt<Result>(work: () => Result, isRefusal: (error: unknown) => boolean): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}

describe("hostile input", () => {
  test("a mutated body is accepted or refused, never an internal error", async () => {
    await using dav = await DavServer.start();
    await dav.fs.make("f", "x");
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...BODIES),
        fc.array(splice, { maxLength: 4 }),
        async ([method, body], splices) => {
          const { status } = await dav.send(method, "/f", { depth: "0", timeout: "Second-1" }, mutated(body, splices));
          expect(status < 500 || status === 507).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("entities, a DOCTYPE, too deep a tree, too many nodes and too long a body are refused", async () => {
    await using dav = await DavServer.start();
    const laughs = `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><propfind xmlns="DAV:"><prop>&b;</prop></propfind>`;
    const cases: [string, number][] = [
      [laughs, 400],
      ["<a>".repeat(100), 400],
      [`<a>${"<b/>".repeat(30_000)}</a>`, 400],
      [`<a ${Array.from({ length: 30_000 }, (_, index) => `b${index}=""`).join(" ")}/>`, 400],
      [`<a>${" ".repeat(1024 * 1024)}</a>`, 413],
      ["\xff\xfe", 400],
    ];
    for (const [body, status] of cases) {
      expect([
        body.slice(0, 20),
        await dav.status("PROPFIND", "/", { depth: "0" }, Buffer.from(body, "latin1")),
      ]).toEqual([body.slice(0, 20), status]);
    }
  });

  test("any If header is parsed or refused", () => {
    const piece = fc.constantFrom("(", ")", "<a:b>", '["e"]', '[W/"e"]', "Not", " ", "<", "]", '"', "x");
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join("")),
          fc.string(),
        ),
        (text) => {
          const isRefused = (error: unknown) => error instanceof Refusal && error.status === 400;
          const lists = attempt(() => parseIf(text), isRefused) ?? [];
          expect(lists.every(({ conditions }) => conditions.length > 0)).toBe(true);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("parsed ranges lie in the file, in order and without overlap", () => {
    const range = fc.tuple(fc.option(fc.nat(2_000)), fc.option(fc.nat(2_000))).map(([a, b]) => `${a ?? ""}-${b ?? ""}`);
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 70 }), fc.nat(1_000), (ranges, size) => {
        const parsed = parseRanges(`bytes=${ranges.join(",")}`, size);
        if (typeof parsed === "string") return;
        let end = -1;
        for (const { from, to } of parsed) {
          expect(from).toBeGreaterThan(end);
          expect(to).toBeGreaterThanOrEqual(from);
          expect(to).toBeLessThan(size);
          end = to;
        }
      }),
    );
  });
});

describe("round trips", () => {
  test("an encoded path decodes to the same bytes", () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 255 })
      .map((bytes) => Buffer.from(bytes).toString("latin1"))
      .filter((text) => !/^\.\.?$|[/\0]/.test(text));
    fc.assert(
      fc.property(fc.array(name, { maxLength: 4 }), (path) => {
        expect(parseTarget(encodePath(path as never, true)).path).toEqual(path);
      }),
    );
  });

  test("a written element is read back the same", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 8 }).filter((value) => !/[\p{Cc}\ufffe\uffff]/u.test(value));
    const namespace = fc.constantFrom("", "DAV:", "urn:a", 'urn:b&<"');
    const name = fc.constantFrom("a", "b", "ü");
    const { element } = fc.letrec<{ element: Parameters<typeof writeAlone>[0] }>((tie) => ({
      element: fc.record({
        namespace,
        name,
        attributes: fc.uniqueArray(fc.record({ namespace, name, value: text }), {
          selector: ({ name: local, namespace: uri }) => `${uri} ${local}`,
          maxLength: 2,
        }),
        children: fc.oneof(
          { maxDepth: 3 },
          fc.constant([]),
          fc.array(tie("element"), { maxLength: 2 }),
          text.filter((value) => value !== "").map((value) => [value]),
        ),
        lang: fc.constant("en"),
      }),
    }));
    fc.assert(
      fc.property(element, (value) => {
        expect(readXml(Buffer.from(writeAlone(value, Infinity) ?? ""))).toEqual(value);
      }),
    );
  });
});
