/** What programs have open, over agents that are killed and replaced. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Ino } from "../../../src/base/ids.ts";
import { type OpenedFile, OpenTable, type Use } from "../../../src/fuse/open-table.ts";

/** The head and room for so many rows. */
const memoryFor = (rows: number) => Buffer.from(new ArrayBuffer((3 + 3 * rows) * 8));
const filesOf = (table: OpenTable) => Array.from(table.files(), ({ ino, use }): OpenedFile => ({ ino, use }));
const anyUse = fc.constantFrom<Use>("read", "append", "hold");
const handle = fc.integer({ min: 1, max: 12 });
const anyStep = fc.oneof(
  fc.record({ what: fc.constant("open" as const), handle, use: anyUse }),
  fc.record({ what: fc.constant("close" as const), handle }),
  fc.record({ what: fc.constant("kill" as const) }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer Value> ? Value : never;

test("the next agent knows all that is open", () => {
  fc.assert(
    fc.property(fc.array(anyStep), (all) => {
      const memory = memoryFor(12);
      const open = new Map<number, OpenedFile>();
      let table = new OpenTable(memory);
      const play = (step: Step): [unknown, unknown] => {
        if (step.what === "kill") return [(table = new OpenTable(memory)).isComplete, true];
        const known = open.get(step.handle);
        if (step.what === "close") {
          open.delete(step.handle);
          return [table.delete(step.handle)?.use, known?.use];
        }
        const file = { ino: (step.handle % 5) as Ino, use: step.use };
        if (known === undefined) table.add(step.handle, file.ino, file.use);
        open.set(step.handle, known ?? file);
        return [table.get(step.handle)?.use, open.get(step.handle)?.use];
      };
      for (const step of all) {
        const [found, expected] = play(step);
        expect(found).toEqual(expected);
        expect(table.isComplete).toBe(true);
        for (const each of [table, new OpenTable(memory)])
          expect(inOrder(filesOf(each))).toEqual(inOrder([...open.values()]));
      }
    }),
  );
});

test("opens that do not fit are known to this agent alone, and later agents know that some are missing", () => {
  const memory = memoryFor(1);
  const table = new OpenTable(memory);
  for (const handle of [1, 2]) table.add(handle, (10 + handle) as Ino, "hold");
  expect([filesOf(table).length, table.isComplete]).toEqual([2, false]);
  const next = new OpenTable(memory);
  expect([filesOf(next), next.isComplete]).toEqual([[{ ino: 11, use: "hold" }], false]);
  expect([table.delete(2), table.delete(1), new OpenTable(memory).isComplete]).toMatchObject([
    { ino: 12 },
    { ino: 11 },
    false,
  ]);
});

test("an agent without its predecessor's memory knows that open files are missing", () => {
  const memory = memoryFor(4);
  expect(new OpenTable(memory, true).isComplete).toBe(false);
  expect([new OpenTable(memory).isComplete, new OpenTable().isComplete]).toEqual([false, false]);
});

function inOrder(files: readonly OpenedFile[]): string[] {
  return files.map(({ ino, use }) => `${ino} ${use}`).toSorted();
}
