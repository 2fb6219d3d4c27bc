import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { FileId, Ino } from "../../../../src/base/ids.ts";
import type { ChangedObject, PublishedObject } from "../../../../src/fstree/change-set.ts";
import { EncodedObjects, encodeChanged, decodeChanged } from "../../../../src/overlay/data/encoded-epoch.ts";
import { arbitraryId, arbitraryName, arbitraryRecord } from "../../../support/records.ts";

const arbitraryIno = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map((ino) => ino as Ino);
const arbitraryPlaces = fc.array(fc.record({ parent: arbitraryId(), name: arbitraryName() }), { maxLength: 3 });
const arbitraryLinks = fc.array(fc.record({ parent: arbitraryIno, name: arbitraryName() }), { maxLength: 3 });

const plain = (objects: EncodedObjects) =>
  new Map(Array.from(objects, ([ino, { id, record, names }]) => [ino, { id, record, names }] as const));

test("the results of an epoch are decoded as they were encoded, repeatedly, with pieces of any size", () => {
  const arbitraryObject: fc.Arbitrary<PublishedObject> = fc.record({
    id: arbitraryId(),
    record: arbitraryRecord(),
    names: arbitraryPlaces,
  });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(arbitraryIno, arbitraryObject), { maxLength: 8 }),
      fc.integer({ min: 1, max: 9 }),
      (entries, size) => {
        const objects = new Map(entries);
        const encoded = EncodedObjects.of(objects, size);
        expect(encoded.size).toBe(objects.size);
        expect(encoded.pieces).toHaveLength(Math.ceil(objects.size / size));
        expect(plain(encoded)).toEqual(objects);
        expect(plain(new EncodedObjects(encoded.pieces.map((piece) => piece.slice())))).toEqual(objects);
        expect(plain(encoded)).toEqual(objects);
        expect(EncodedObjects.of(encoded, 1)).toBe(encoded);
      },
    ),
  );
});

test("a sealed epoch's objects are decoded as they were encoded", () => {
  const arbitraryContent: fc.Arbitrary<ChangedObject["content"]> = fc.oneof(
    fc.constant({ kind: "same" } as const),
    fc.record({
      kind: fc.constant("edited" as const),
      base: arbitraryRecord().map(({ content }) => content),
      baseSize: fc.nat(),
      segments: fc.constantFrom(
        [],
        [
          { offset: 0, length: 7, from: "base", epoch: 0 } as const,
          { offset: 7, length: 1, from: "hole", epoch: 0 } as const,
          { offset: 8, length: 2, from: "data", epoch: 3 } as const,
        ],
      ),
    }),
  );
  const arbitraryChanged: fc.Arbitrary<ChangedObject> = fc.record(
    {
      ino: arbitraryIno,
      id: fc.option<FileId, undefined>(arbitraryId(), { nil: undefined }),
      baseNames: arbitraryPlaces,
      base: fc.option(arbitraryRecord(), { nil: undefined }),
      names: arbitraryLinks,
      record: fc.option(arbitraryRecord(), { nil: undefined }),
      content: arbitraryContent,
      replaces: arbitraryIno,
    },
    { requiredKeys: ["ino", "id", "baseNames", "base", "names", "record", "content"] },
  );
  fc.assert(
    fc.property(fc.array(arbitraryChanged, { maxLength: 5 }), (objects) => {
      expect(decodeChanged(encodeChanged(objects))).toEqual(objects);
    }),
  );
});
