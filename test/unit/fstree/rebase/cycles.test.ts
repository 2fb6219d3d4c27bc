/** The last look at an epoch's directories before it is published: what lies in itself would be lost. */
import { expect, test } from "vitest";
import type { FileId } from "../../../../src/base/ids.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import { refuseCycles } from "../../../../src/fstree/rebase/cycles.ts";
import type { ObjectState } from "../../../../src/fstree/rebase/transition.ts";
import { selfKey } from "../../../../src/format/files/keys.ts";
import { encodeSelf } from "../../../../src/format/files/rows.ts";
import { createTreeConfig } from "../../../../src/tree/boundary.ts";
import { buildTree } from "../../../../src/tree/edit.ts";
import { NodeStore } from "../../../../src/tree/node-store.ts";
import { BlockMap } from "../../../support/block-map.ts";
import { name, recordOf } from "../../../support/epochs.ts";

const [A, B, C] = ["a", "b", "c"].map((digit) => digit.repeat(32) as FileId) as [FileId, FileId, FileId];

test("a directory moved into itself is refused, whichever directory is checked first", async () => {
  const cycle = await lookInto({ [A]: C, [B]: A, [C]: B });
  await expect(cycle([A, ROOT_ID, C])).rejects.toMatchObject({ code: "internal" });
  await expect(cycle([B, undefined, A])).rejects.toMatchObject({ code: "internal" });
  // Below the cycle, and looked at first.
  const below = await lookInto({ [A]: B, [B]: C, [C]: B });
  await expect(below([A, ROOT_ID, B], [B, ROOT_ID, C])).rejects.toMatchObject({ code: "internal" });
});

test("moved directories below the root are accepted, and so are cycles that others made", async () => {
  const rooted = await lookInto({ [A]: ROOT_ID, [B]: A, [C]: B });
  await expect(rooted([C, ROOT_ID, B])).resolves.toBeUndefined();
  const beside = await lookInto({ [A]: B, [B]: A, [C]: B });
  await expect(beside([C, ROOT_ID, B])).resolves.toBeUndefined();
  // It did not move.
  await expect(beside([A, B, B])).resolves.toBeUndefined();
});

/** A tree with these directories in one another, and a look at those that moved in it. */
async function lookInto(parents: Readonly<Record<FileId, FileId>>) {
  const blocks = new BlockMap();
  const nodes = new NodeStore(blocks, { capacityBytes: 1 << 20 });
  const record = recordOf("directory");
  const rows = Object.entries(parents).map(([id, parent]) => {
    const self = { kind: "directory", record, place: { parent, name: name("d") }, subdirs: 0 } as const;
    const { value, links } = encodeSelf(self, () => expect.unreachable());
    return { key: selfKey(id as FileId), value, links };
  });
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  const tree = await buildTree(nodes, blocks, createTreeConfig({ salt: new Uint8Array(32), targetBytes: 1024 }), rows);
  const stateIn = (id: FileId, parent: FileId): ObjectState => {
    return { id, type: "directory", names: [{ parent, name: name("d") }], record };
  };
  return (...moves: readonly (readonly [id: FileId, from: FileId | undefined, to: FileId])[]) => {
    const transitions = moves.map(([id, from, to]) => ({ before: from && stateIn(id, from), after: stateIn(id, to) }));
    return refuseCycles(nodes, tree, transitions);
  };
}
