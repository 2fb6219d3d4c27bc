/** Small trees for tests, with entries of all shapes of the node format, and a map that models a tree's contents. */
import * as fc from "fast-check";
import type { Cid } from "../../src/base/ids.ts";
import type { BlockReader, BlockSink } from "../../src/blocks/block-store.ts";
import { cidOf } from "../../src/format/blocks/cid.ts";
import type { TreeConfig } from "../../src/tree/boundary.ts";
import { createTreeConfig } from "../../src/tree/boundary.ts";
import { buildTree } from "../../src/tree/edit.ts";
import type { Edit, Entry } from "../../src/tree/entry.ts";
import { NodeStore } from "../../src/tree/node-store.ts";
import { range } from "../../src/tree/read.ts";
import { BlockMap } from "./block-map.ts";

export interface TestTrees {
  readonly blocks: BlockMap;
  readonly nodes: NodeStore;
  readonly config: TreeConfig;
}

/** A tree's contents: keys in hex, which sort as their bytes do. */
export type Model = ReadonlyMap<string, Omit<Entry, "key">>;

export const SALT = Buffer.from("salt of the tests");

/** Trees with small nodes, so that few entries make several levels. */
export function testTrees(options: { targetBytes?: number; capacityBytes?: number; batch?: number } = {}): TestTrees {
  const { targetBytes = 256, capacityBytes = 1 << 24, batch = 256 } = options;
  const blocks = new BlockMap();
  const config = createTreeConfig({ salt: SALT, targetBytes });
  return { blocks, nodes: new NodeStore(blocks, { capacityBytes, batch }), config };
}

/** The same blocks through a fresh NodeStore that has cached nothing. */
export function reopened(blocks: BlockReader, capacityBytes = 1 << 24): NodeStore {
  return new NodeStore(blocks, { capacityBytes });
}

export function build({ nodes, blocks, config }: TestTrees, model: Model): Promise<Cid> {
  return buildTree(nodes, blocks, config, entriesOf(model));
}

export function entriesOf(model: Model): Entry[] {
  return sortedKeys(model).map((key) => {
    const { value, links } = model.get(key) ?? NOTHING;
    return { key: Buffer.from(key, "hex"), value, links };
  });
}

/** The edits that lead from one model to another. */
export function editsBetween(before: Model, after: Model): Edit[] {
  const keys = sortedKeys(new Map([...before, ...after])).filter((key) => before.get(key) !== after.get(key));
  return keys.map((key) => editOf(key, after.get(key)));
}

export function editOf(key: string, contents: Omit<Entry, "key"> | undefined): Edit {
  return { key: Buffer.from(key, "hex"), value: contents?.value, links: contents?.links ?? [] };
}

/** A tree's contents, read entry by entry. */
export async function modelOf(nodes: NodeStore, root: Cid): Promise<Map<string, Omit<Entry, "key">>> {
  const model = new Map<string, Omit<Entry, "key">>();
  for await (const { key, value, links } of range(nodes, root))
    model.set(hex(key), { value: Buffer.from(value), links });
  return model;
}

export function hex(key: Uint8Array): string {
  return Buffer.from(key).toString("hex");
}

/** A sink that discards blocks. */
export const NOWHERE: BlockSink = { put: () => undefined };

/** Key number `index` of an endless sequence: long keys with common prefixes as in a directory, and short ones. */
export function keyOf(index: number): string {
  if (index % 11 === 0) return hex(Buffer.from(`k${index}`));
  const head = Buffer.alloc(16, (index * 7) % 23);
  return hex(
    index % 13 === 0 ? Buffer.concat([head, Buffer.from("name"), Buffer.of(index % 251)]) : withTail(head, index),
  );
}

function withTail(head: Buffer, index: number): Buffer {
  return Buffer.concat([head, Buffer.from(String(index))]);
}

export function arbitraryContents(): fc.Arbitrary<Omit<Entry, "key">> {
  const links = fc.array(fc.constantFrom(...SOME_CIDS), { maxLength: 3 });
  return fc.record({ value: fc.uint8Array({ maxLength: 40 }), links: fc.oneof(fc.constant([]), links) });
}

/** Up to `max` entries under keys of `keyOf`. */
export function arbitraryModel(max = 300): fc.Arbitrary<Model> {
  const index = fc.nat({ max: 2 * max });
  const entry = fc.tuple(index.map(keyOf), arbitraryContents());
  return fc.array(entry, { maxLength: max, size: "max" }).map((entries) => new Map(entries));
}

/** A model and others that differ from it in some keys, a whole range of keys, or all of them. */
export function arbitraryVersions(count: number, max = 300): fc.Arbitrary<{ base: Model; versions: Model[] }> {
  return arbitraryModel(max).chain((base) =>
    fc
      .array(fc.oneof(arbitraryTouches(max), arbitraryCut(max)), { minLength: count, maxLength: count })
      .map((changes) => ({ base, versions: changes.map((change) => change(base)) })),
  );
}

type Change = (base: Model) => Model;

function arbitraryTouches(max: number): fc.Arbitrary<Change> {
  const touch = fc.tuple(fc.nat({ max: 2 * max }).map(keyOf), fc.option(arbitraryContents(), { nil: undefined }));
  return fc.array(touch, { maxLength: max, size: "max" }).map((touches) => (base) => {
    const changed = new Map(base);
    for (const [key, contents] of touches) {
      if (contents === undefined) changed.delete(key);
      else changed.set(key, contents);
    }
    return changed;
  });
}

/** Deletes all keys of a range. */
function arbitraryCut(max: number): fc.Arbitrary<Change> {
  const index = fc.nat({ max: 2 * max });
  return fc.tuple(index.map(keyOf), index.map(keyOf)).map(
    ([from, to]) =>
      (base) =>
        new Map([...base].filter(([key]) => key < from || key > to)),
  );
}

function sortedKeys(model: Model): string[] {
  return [...model.keys()].sort();
}

const NOTHING: Omit<Entry, "key"> = { value: new Uint8Array(0), links: [] };
const SOME_CIDS = ["a", "b", "c"].flatMap((text) => [
  cidOf("raw", Buffer.from(text)),
  cidOf("dag-cbor", Buffer.from(text)),
]);
