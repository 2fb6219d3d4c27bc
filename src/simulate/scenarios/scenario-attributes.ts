/** Compares expected modes, owners, times and xattrs of a scenario with the actual ones, as lines of a listing. */
import type { Cid } from "../../base/ids.ts";
import { nameFromText } from "../../base/names.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { resolvePath } from "../../fstree/fs-reader.ts";
import { linkedValues, xattrsOf } from "../../format/blocks/linked-value.ts";
import type { FileRecord } from "../../format/files/record.ts";
import type { NodeStore } from "../../tree/node-store.ts";
import { type ExpectedAttributes, fillPlaceholders, type Listing, type Scenario, sortedListing } from "./scenario.ts";

export async function compareAttributes(
  context: { readonly nodes: NodeStore; readonly blocks: BlockReader },
  tree: Cid,
  { expect: { attributes = {} } }: Scenario,
): Promise<{ got: Listing; expected: Listing }> {
  const got: [string, string][] = [];
  const expected: [string, string][] = [];
  for (const [given, wanted] of Object.entries(attributes)) {
    const path = fillPlaceholders(given);
    const found = await resolvePath(context.nodes, tree, path.split("/").map(nameFromText));
    const there = found === undefined ? {} : await attributesOf(context.blocks, found.record);
    got.push([`${path} (attributes)`, textOf(wanted, there)]);
    expected.push([`${path} (attributes)`, textOf(wanted, wanted)]);
  }
  return { got: sortedListing(got), expected: sortedListing(expected) };
}

const NS_PER_S = 1_000_000_000n;

/** Lists only the attributes that are expected. */
function textOf(wanted: ExpectedAttributes, found: ExpectedAttributes): string {
  const keys = Object.keys(wanted).sort() as (keyof ExpectedAttributes)[];
  return keys
    .map(
      (key) =>
        `${key} ${JSON.stringify(key === "xattrs" ? sortedListing(Object.entries(found.xattrs ?? {})) : found[key])}`,
    )
    .join(", ");
}

async function attributesOf(blocks: BlockReader, record: FileRecord): Promise<ExpectedAttributes> {
  const linked = await blocks.getMany(linkedValues(record));
  const xattrs = [...xattrsOf(record, (cid) => linked.get(cid) ?? new Uint8Array())];
  return {
    mode: record.mode,
    uid: record.uid,
    gid: record.gid,
    mtime: Number(record.mtimeNs / NS_PER_S),
    xattrs: Object.fromEntries(xattrs.map(([name, value]) => [name, Buffer.from(value).toString("utf8")])),
  };
}
