import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import type { Cid, FileId } from "../../../../src/base/ids.ts";
import { nameFromText } from "../../../../src/base/names.ts";
import { birthId } from "../../../../src/format/files/keys.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import { MAX_VALUE_BYTES } from "../../../../src/base/limits.ts";
import { decodeRecord, decodeRow, encodeRecord, encodeReference } from "../../../../src/format/files/record-codec.ts";
import { NO_ROW_FIELDS } from "../../../../src/format/files/record-reader.ts";
import {
  checkBackref,
  decodeDentry,
  decodeSelf,
  encodeBackref,
  encodeDentry,
  encodeSelf,
} from "../../../../src/format/files/rows.ts";
import type { Dentry, SelfRow } from "../../../../src/format/files/rows.ts";
import { linkedValues, linkLongValues, targetOf, xattrsOf } from "../../../../src/format/blocks/linked-value.ts";
import { cidOf } from "../../../../src/format/blocks/cid.ts";
import type { FileRecord } from "../../../../src/format/files/record.ts";
import { arbitraryCid, arbitraryId, arbitraryName, arbitraryRecord } from "../../../support/records.ts";
import { arbitraryMutations, judge, mutate, STRICT } from "../../../support/mutate.ts";

/** A store of linked blocks, and its `link`. */
function blockShelf() {
  const blocks = new Map<Cid, Uint8Array>();
  const link = (bytes: Uint8Array) => {
    const cid = cidOf("dag-cbor", bytes);
    blocks.set(cid, bytes);
    return cid;
  };
  const peek = (cid: Cid) => {
    const bytes = blocks.get(cid);
    if (bytes === undefined) throw new Error(`no block ${cid}`);
    return bytes;
  };
  return { blocks, link, peek };
}

const noLink = () => {
  throw new Error("nothing is to be linked");
};
const node = cidOf("dag-cbor", new Uint8Array());
const leaf = cidOf("raw", new Uint8Array());
const file: FileRecord = {
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  ctimeNs: 0n,
  rdev: 0,
  xattrs: new Map(),
  content: { kind: "empty" },
  target: "",
  conflict: undefined,
  unknown: new Map(),
};

describe("records", () => {
  test("every record survives encoding, with long values behind links", () => {
    fc.assert(
      fc.property(arbitraryRecord(), (record) => {
        const shelf = blockShelf();
        const encoded = encodeRecord(record, shelf.link);
        const decoded = decodeRecord(encoded);
        expect(decoded).toEqual(linkLongValues(record, shelf.link));
        expect(new Map(xattrsOf(decoded, shelf.peek))).toEqual(
          new Map([...xattrsOf(record, shelf.peek)].toSorted(([a], [b]) => (a < b ? -1 : 1))),
        );
        expect(targetOf(decoded, shelf.peek)).toBe(targetOf(record, shelf.peek));
        expect(encoded.value.length).toBeLessThanOrEqual(MAX_VALUE_BYTES);
      }),
    );
  });

  test("type, mode, size and times are read without any linked block", () => {
    fc.assert(
      fc.property(arbitraryRecord(), (record) => {
        const { type, mode, size, mtimeNs, ctimeNs } = decodeRecord(encodeRecord(record, blockShelf().link));
        expect({ type, mode, size, mtimeNs, ctimeNs }).toEqual({
          type: record.type,
          mode: record.mode,
          size: record.size,
          mtimeNs: record.mtimeNs,
          ctimeNs: record.ctimeNs,
        });
      }),
    );
  });

  test("a decoded record encodes to the same bytes without loading a block", () => {
    fc.assert(
      fc.property(arbitraryRecord(), (record) => {
        const encoded = encodeRecord(record, blockShelf().link);
        expect(encodeRecord(decodeRecord(encoded), noLink)).toEqual(encoded);
      }),
    );
  });

  test("a damaged row is refused or is the canonical encoding of what it says", () => {
    fc.assert(
      fc.property(arbitraryRecord(), arbitraryMutations(), fc.boolean(), (record, changes, fewer) => {
        const { value, links } = encodeRecord(record, blockShelf().link);
        const verdict = judge(mutate(value, changes), (damaged) => {
          const { type, row, record: read } = decodeRow({ value: damaged, links: fewer ? links.slice(1) : links });
          return read === undefined
            ? encodeReference(type, row.id as FileId).value
            : encodeRecord(read, noLink, row).value;
        });
        expect(STRICT).toContain(verdict);
      }),
      { numRuns: 2000 },
    );
  });

  test("a reference holds an object's id and nothing else", () => {
    const { value } = encodeReference("file", ROOT_ID);
    expect(decodeRow({ value, links: [] }).row.id).toBe(ROOT_ID);
    for (let end = 1; end < value.length; end++)
      expect(() => decodeRow({ value: value.subarray(0, end), links: [] })).toThrow(/row/);
    const withMode = Buffer.from(encodeRecord({ ...file, mode: 1 }, noLink, { ...NO_ROW_FIELDS, id: ROOT_ID }).value);
    withMode[0] = value[0] ?? 0;
    expect(() => decodeRow({ value: withMode, links: [] })).toThrow(
      /is a reference that lacks its id or has other fields/,
    );
  });

  test("links that no field needs, and links to the wrong kind of block, are refused", () => {
    fc.assert(
      fc.property(arbitraryRecord(), arbitraryCid("raw"), (record, cid) => {
        const { value, links } = encodeRecord(record, blockShelf().link);
        expect(() => decodeRecord({ value, links: [...links, cid] })).toThrow(/extra link/);
      }),
    );
    const list = encodeRecord({ ...file, size: 1, content: { kind: "list", cid: node } }, noLink);
    expect(() => decodeRecord({ value: list.value, links: [leaf] })).toThrow(/wrong kind/);
  });

  test("a sparse file's data size applies to the chunk list that it was stored with, and is otherwise kept as unknown", () => {
    const other = cidOf("dag-cbor", Uint8Array.of(1));
    const sparse: FileRecord = { ...file, size: 2 ** 50, content: { kind: "list", cid: node, dataBytes: 4096 } };
    const { value } = encodeRecord(sparse, noLink);
    expect(decodeRecord({ value, links: [node] })).toEqual(sparse);
    // As an older version leaves it, which changed the content alone.
    const stale = decodeRecord({ value, links: [other] });
    expect([stale.content, [...stale.unknown.keys()]]).toEqual([{ kind: "list", cid: other }, [27]]);
    expect(encodeRecord(stale, noLink).value).toEqual(value);
    const again: FileRecord = { ...stale, content: { kind: "list", cid: other, dataBytes: 0 } };
    const decoded = decodeRecord(encodeRecord(again, noLink));
    expect([decoded.content, decoded.unknown.size]).toEqual([again.content, 0]);
    expect(() => encodeRecord({ ...sparse, size: 4096 }, noLink)).toThrow(/too many data bytes/);
  });

  test("a damaged block of a long value is refused or is still canonical", () => {
    fc.assert(
      fc.property(arbitraryRecord({ long: true }), arbitraryMutations(), (record, changes) => {
        const shelf = blockShelf();
        const decoded = decodeRecord(encodeRecord(record, shelf.link));
        const [cid] = linkedValues(decoded);
        fc.pre(cid !== undefined);
        const verdict = judge(mutate(shelf.peek(cid), changes), (damaged) => {
          const peek = (wanted: Cid) => (wanted === cid ? damaged : shelf.peek(wanted));
          const relinked = blockShelf();
          const whole = { ...decoded, xattrs: xattrsOf(decoded, peek), target: targetOf(decoded, peek) };
          const [again] = linkedValues(linkLongValues(whole, relinked.link));
          return again === undefined ? new Uint8Array() : relinked.peek(again);
        });
        expect(STRICT).toContain(verdict);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["a mode of 13 bits", { mode: 0o10000 }],
    ["a directory with a size", { type: "directory", size: 1 }],
    ["a directory with content", { type: "directory", content: { kind: "inline", bytes: Uint8Array.of(1) } }],
    ["content longer than the file", { size: 1, content: { kind: "inline", bytes: Uint8Array.of(1, 2) } }],
    ["a symlink without a target", { type: "symlink" }],
    ["a symlink whose size differs from its target's length", { type: "symlink", target: "a", size: 2 }],
    ["a file with a target", { target: "a" }],
    ["a file with a device number", { rdev: 1 }],
    ["a field with a reserved tag", { unknown: new Map([[9, Uint8Array.of(1)]]) }],
  ] as const)("%s is not encoded", (_, change) => {
    expect(() => encodeRecord({ ...file, ...change }, noLink)).toThrow(/row's value/);
  });

  test("a row too large for a tree node is refused before it is written", () => {
    const unknown = new Map([29, 30].map((tag) => [tag, new Uint8Array(MAX_VALUE_BYTES / 2)] as const));
    expect(() => encodeRecord({ ...file, unknown }, noLink)).toThrow(/more than 4096 bytes/);
  });
});

describe("rows", () => {
  const plain = arbitraryRecord({ long: false });

  test("dentries survive encoding", () => {
    fc.assert(
      fc.property(plain, arbitraryId(), arbitraryName(), fc.option(arbitraryId()), (record, parent, name, stated) => {
        const dentry: Dentry =
          record.type === "directory"
            ? { kind: "reference", type: "directory", id: stated ?? parent }
            : { kind: "record", record, stated: stated ?? undefined };
        expect(decodeDentry(parent, name, encodeDentry(dentry, noLink))).toEqual(dentry);
      }),
    );
  });

  test("self-records survive encoding", () => {
    fc.assert(
      fc.property(
        plain,
        arbitraryId(),
        arbitraryId(),
        arbitraryName(),
        fc.nat(),
        (record, id, parent, name, subdirs) => {
          fc.pre(id !== parent);
          const self: SelfRow =
            record.type === "directory"
              ? { kind: "directory", record, place: { parent, name }, subdirs }
              : { kind: "file", record };
          expect(decodeSelf(id, encodeSelf(self, noLink))).toEqual(self);
        },
      ),
    );
  });

  const directory: FileRecord = { ...file, type: "directory" };
  const parent = "11".repeat(16) as FileId;
  const own = "22".repeat(16) as FileId;
  const name = nameFromText("a");
  const bare = { id: undefined, parent: undefined, name: undefined, subdirs: 0 };

  test("a dentry that states an id which its place already implies is refused", () => {
    const stated = birthId(parent, name, "file", 0);
    expect(() => decodeDentry(parent, name, encodeRecord(file, noLink, { ...bare, id: stated }))).toThrow(/dentry/);
  });

  test.each([
    ["a directory's full record", encodeRecord(directory, noLink)],
    ["a place", encodeRecord(file, noLink, { ...bare, parent })],
    ["the root directory", encodeReference("directory", ROOT_ID)],
    ["a back-reference's row", encodeBackref()],
  ])("a dentry with %s is refused", (_, encoded) => {
    expect(() => decodeDentry(parent, name, encoded)).toThrow(SynclineError);
  });

  test.each([
    ["no place", own, encodeRecord(directory, noLink)],
    ["itself as its parent", own, encodeRecord(directory, noLink, { ...bare, parent: own, name })],
    ["an id", own, encodeRecord(directory, noLink, { ...bare, id: own, parent, name })],
    ["a place for the root", ROOT_ID, encodeRecord(directory, noLink, { ...bare, parent, name })],
    ["a file's record for the root", ROOT_ID, encodeRecord(file, noLink)],
    ["subdirectories for a file", own, encodeRecord(file, noLink, { ...bare, subdirs: 1 })],
    ["only a reference", own, encodeReference("directory", own)],
  ])("a self-record with %s is refused", (_, id, encoded) => {
    expect(() => decodeSelf(id, encoded)).toThrow(/self-record/);
  });

  test("a back-reference is empty", () => {
    expect(() => checkBackref(encodeBackref())).not.toThrow();
    expect(() => checkBackref({ value: Uint8Array.of(1), links: [] })).toThrow(/back-reference/);
  });
});
