/**
 * Merges of trees in which directories may lie in one another, in the base as in either side's: a merge ends, and is the same
 * whichever side is named first. SYNCLINE_TEST_ALL: 3,000 merges.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Cid, FileId } from "../../../../src/base/ids.ts";
import { ROOT_ID } from "../../../../src/base/ids.ts";
import { editsOf } from "../../../../src/fstree/rebase/transition.ts";
import type { ObjectState, Transition } from "../../../../src/fstree/rebase/transition.ts";
import { readObject, resolvePath } from "../../../../src/fstree/fs-reader.ts";
import type { Head, MergeContext } from "../../../../src/fstree/merge/context.ts";
import { replayOf } from "../../../../src/fstree/merge/merge-snapshots.ts";
import type { Operation } from "../../../../src/simulate/scenarios/scenario.ts";
import { editTree } from "../../../../src/tree/edit.ts";
import { name } from "../../../support/epochs.ts";
import { MergeWorld } from "../../../support/merge-world.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const NAMES = ["a", "b", "c", "d", "e"];
const SUBS = NAMES.map((parent) => `${parent}/sub`);
const FILES = NAMES.flatMap((parent) => [`${parent}/f.bin`, `${parent}/sub/t.txt`, `${parent}/new.bin`]);

const START: readonly Operation[] = NAMES.flatMap((path): Operation[] => [
  { op: "mkdir", path },
  { op: "write", path: `${path}/f.bin`, content: path },
  { op: "mkdir", path: `${path}/sub` },
  { op: "write", path: `${path}/sub/t.txt`, content: `1\n2\n3\n${path}\n` },
]);
/** The other side's change is the smaller one then, which is replayed. */
const MANY = Array.from({ length: 40 }, (_, at): Operation => ({ op: "write", path: `many${at}`, content: `${at}` }));

const path = fc.constantFrom(...NAMES, ...SUBS);
const moved = fc.constantFrom(...NAMES.flatMap((into) => NAMES.map((file) => `${into}/${file}`)), "x", "y");
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    op: fc.constant("write" as const),
    path: fc.constantFrom(...FILES, ...SUBS),
    content: fc.string({ maxLength: 3 }),
  }),
  fc.record({ op: fc.constant("rmtree" as const), path }),
  fc.record({ op: fc.constant("mkdir" as const), path }),
  fc.record({ op: fc.constant("rename" as const), path, to: moved }),
);

/** Which directory goes into which, whatever comes of it. 5: the root. */
type Moves = readonly (readonly [from: number, into: number])[];
const moves = (maxLength: number): fc.Arbitrary<Moves> => fc.array(fc.tuple(fc.nat(4), fc.nat(5)), { maxLength });
const side = fc.record({ operations: fc.array(operation, { maxLength: 5 }), moves: moves(4), isLarge: fc.boolean() });

test(
  "a merge of damaged trees ends, and gives the same result in both orders",
  async () => {
    await fc.assert(
      fc.asyncProperty(side, side, moves(2), async (one, two, before) => {
        const world = new MergeWorld({ actions: [0], files: [0] });
        const { context } = world;
        const start = (await world.headOfAction(await world.empty(), "b", START)).tree;
        const ids = await Promise.all(NAMES.map((text) => idOf(context, start, text)));
        const base = await misplaced(context, start, ids, before);
        const headOf = async (label: string, { operations, moves: own, isLarge }: typeof one): Promise<Head> => {
          const head = await world.headOfAction(start, label, [...operations, ...(isLarge ? MANY : [])]);
          return {
            ...head,
            tree: await misplaced(context, await misplaced(context, head.tree, ids, before), ids, own),
          };
        };
        const [loser, winner] = [await headOf("x", one), await headOf("y", two)];
        const merged = await world.merge(base, loser, winner);
        expect(await world.merge(base, winner, loser)).toEqual(merged);
        for (const role of ["winner", "loser"] as const) {
          expect(await replayOf(context, base, { winner, loser }, role)).toBeDefined();
        }
      }),
      { numRuns: all ? 3_000 : 30 },
    );
  },
  all ? 3_600_000 : 120_000,
);

/** The tree with these of its directories put into one another, as no honest agent does it. */
async function misplaced(context: MergeContext, tree: Cid, ids: readonly FileId[], todo: Moves): Promise<Cid> {
  const transitions = new Map<FileId, Transition>();
  for (const [from, into] of todo) {
    const [id = ROOT_ID, parent = ROOT_ID] = [ids[from], ids[into]];
    const isThere = parent === ROOT_ID || (await readObject(context.nodes, tree, parent)) !== undefined;
    const object = await readObject(context.nodes, tree, id);
    if (object === undefined || !isThere || id === parent || transitions.has(id)) continue;
    const before: ObjectState = { ...object, type: "directory" };
    transitions.set(id, { before, after: { ...before, names: [{ parent, name: name(`moved ${NAMES[from]}`) }] } });
  }
  if (transitions.size === 0) return tree;
  const edits = editsOf(context.nodes, tree, transitions.values(), () => expect.unreachable());
  return editTree(context.nodes, context.sink, context.treeConfig, tree, edits);
}

async function idOf(context: MergeContext, tree: Cid, text: string): Promise<FileId> {
  const object = await resolvePath(context.nodes, tree, [name(text)]);
  if (object === undefined) throw new Error(`nothing at ${text}`);
  return object.id;
}
