/** The rows of blocks that must stay, against the Maps that they stand for. */
import { expect, test } from "vitest";
import type { PackName } from "../../../../src/base/ids.ts";
import { WordMemory } from "../../../../src/base/word-memory.ts";
import { LiveRows } from "../../../../src/bucket/gc/live-rows.ts";
import { NeededBlocks } from "../../../../src/bucket/gc/needed-blocks.ts";
import { blake3 } from "../../../../src/crypto/hash.ts";
import type { Codec } from "../../../../src/format/blocks/cid.ts";
import { packName } from "../../../../src/format/blocks/object-name.ts";
import type { RunRow } from "../../../../src/format/blocks/run.ts";

const PACKS = 23;

/** A manifest's rows: every third block is garbage, and every seventh lies in two packs. */
function manifest(count: number) {
  const needed = new NeededBlocks(new WordMemory());
  const rows: RunRow[] = [];
  const kinds = new Map<string, Codec>();
  for (let index = 0; index < count; index++) {
    const digest = blake3(Buffer.from(`${index}`));
    const row = { digest, offset: index * 70_000, length: 1 + (index % 2 ** 24), codec: index % 256 };
    rows.push({ ...row, pack: packOf(index * index) });
    if (index % 7 === 0) rows.push({ ...row, pack: packOf(index * index + 1), offset: index });
    if (index % 3 === 0) continue;
    const kind = index % 2 === 0 ? "raw" : "dag-cbor";
    needed.mark(digest, kind);
    kinds.set(hex(digest), kind);
  }
  return { needed, rows, kinds };
}

/** Live rows as two Maps have them. */
function modelOf(rows: readonly RunRow[], kinds: ReadonlyMap<string, Codec>) {
  const live = new Map<string, RunRow & { kind: Codec }>();
  const others = new Map<string, RunRow[]>();
  for (const row of rows) {
    const kind = kinds.get(hex(row.digest));
    if (kind === undefined) continue;
    const known = live.get(hex(row.digest));
    if (known === undefined) live.set(hex(row.digest), { ...row, kind });
    else if (known.pack !== row.pack) others.set(hex(row.digest), [...(others.get(hex(row.digest)) ?? []), row]);
  }
  return { live, others };
}

function located(needed: NeededBlocks, rows: readonly RunRow[]): LiveRows {
  const live = new LiveRows(needed);
  for (const row of rows) {
    const number = needed.table.find(row.digest);
    const kind = number < 0 ? undefined : needed.kindOf(number);
    if (kind !== undefined) live.add(number, kind, row);
  }
  return live;
}

test("live rows are those that two Maps of the same manifest have", () => {
  const { needed, rows, kinds } = manifest(9_000);
  const live = located(needed, rows);
  const model = modelOf(rows, kinds);
  expect([live.size, needed.marked]).toEqual([model.live.size, model.live.size]);
  const sorted = [...live.sorted()];
  expect(sorted.map(shown)).toEqual([...model.live.keys()].sort().map((key) => shown(model.live.get(key))));
  expect(sorted.map(({ number }) => live.lengthOf(number))).toEqual(sorted.map(({ length }) => length));
  const twice = sorted.filter(({ number }) => live.hasOthers(number)).map(({ digest }) => hex(digest));
  expect(twice).toEqual([...model.others.keys()].sort());
  const uses = new Map<PackName, { rows: number; raw: number; "dag-cbor": number }>();
  for (const { pack, kind, length } of model.live.values()) {
    const use = uses.get(pack) ?? { rows: 0, raw: 0, "dag-cbor": 0 };
    use.rows++;
    use[kind] += length;
    uses.set(pack, use);
  }
  expect([...live.uses]).toEqual([...uses]);
  expect(live.rowsIn(uses.keys())).toBe(model.live.size);
});

test("rows come pack by pack, in the order in which the manifest first names a wanted one of each", () => {
  const { needed, rows, kinds } = manifest(5_000);
  // Marks and rows come in different orders.
  const shuffled = rows.toSorted((a, b) => (a.digest[5] ?? 0) - (b.digest[5] ?? 0));
  const live = located(needed, shuffled);
  const going = new Set([packOf(0), packOf(1), packOf(4)]);
  const wanted = [...modelOf(shuffled, kinds).live.values()].filter(
    ({ pack, digest }) => going.has(pack) && (digest[0] ?? 0) < 100,
  );
  const before = needed.memory.bytes;
  const found = [...live.byPack((number, pack) => going.has(pack) && (live.digestOf(number)[0] ?? 0) < 100)];
  expect(found.map((inPack) => inPack[0]?.pack)).toEqual([...new Set(wanted.map(({ pack }) => pack))]);
  expect(found.flat().map(shown).sort()).toEqual(wanted.map(shown).sort());
  expect(needed.memory.bytes).toBe(before);
});

test("other places of a block come in the manifest's order, and one of them can be used instead", () => {
  const needed = new NeededBlocks(new WordMemory());
  const digest = blake3(Buffer.from("twice"));
  needed.mark(digest, "dag-cbor");
  const rows = [9, 4, 4, 2, 9].map((pack, offset) => ({ digest, pack: packOf(pack), offset, length: 5, codec: 0 }));
  const live = located(needed, rows);
  const others = live.othersOf(new Set([0]));
  expect(others.map(({ offset }) => offset)).toEqual([1, 2, 3]);
  expect(live.othersOf(new Set())).toEqual([]);
  const [other] = others;
  if (other !== undefined) live.move(other);
  expect(Array.from(live.sorted(), shown)).toEqual([shown(other)]);
});

test("newer live rows of the same blocks have nothing of the older ones", () => {
  const { needed, rows, kinds } = manifest(2_000);
  located(needed, rows).clear();
  const some = rows.filter((_, index) => index % 5 === 0);
  const live = located(needed, some);
  const model = modelOf(some, kinds);
  expect(Array.from(live.sorted(), shown)).toEqual(
    [...model.live.keys()].sort().map((key) => shown(model.live.get(key))),
  );
  expect([...live.sorted()].filter(({ number }) => live.hasOthers(number))).toHaveLength(model.others.size);
});

test("a block that is a chunk in one place and a node in another is marked once, as what it was marked last", () => {
  const needed = new NeededBlocks(new WordMemory());
  const digest = blake3(Buffer.from("both"));
  needed.mark(digest, "raw");
  const live = located(needed, [{ digest, pack: packOf(1), offset: 0, length: 4, codec: 0 }]);
  needed.mark(digest, "dag-cbor");
  expect([needed.marked, needed.markedAs(digest)]).toEqual([1, "dag-cbor"]);
  // What is copied goes with the blocks of the kind that it had when it was located.
  expect(Array.from(live.sorted(), ({ kind }) => kind)).toEqual(["raw"]);
  needed.add(blake3(Buffer.from("alone")));
  expect([needed.marked, needed.size, needed.kindOf(1)]).toEqual([1, 2, undefined]);
});

function packOf(number: number): PackName {
  return packName(Buffer.alloc(16, number % PACKS));
}

function shown(row: (RunRow & { kind: Codec }) | undefined): string {
  return row === undefined ? "" : `${hex(row.digest)} ${row.pack} ${row.offset} ${row.length} ${row.codec} ${row.kind}`;
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex");
}
