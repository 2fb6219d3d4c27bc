/**
 * Two agents write in one repository and one database; the second one goes on while his epoch is on its way, over restarts and deaths: each
 * side's unit is in the end what it wrote, once. SYNCLINE_TEST_ALL: as for merge-laws.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { PATIENCE_MS, runs } from "../../support/law-suite.ts";
import { type Action, actions, BASE, Side } from "../../support/unit-side.ts";
import { inOrder, sorted, whileSwapping, world, write } from "../../support/unit-world.ts";

/** Which of the units the epoch has a part of; of the others something is written while it is on its way. */
const parts = fc.subarray(["app.db", ".git"]);
const way = fc.constantFrom("swap", "death", "death and others", "restart", "restart and death");

test(
  "whatever is written before, while and after part of a unit is published, each side's unit stays whole",
  async () => {
    const history = fc.record({
      way,
      parts,
      early: actions,
      theirs: actions,
      late: actions,
      last: actions,
      first: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(history, async (told) => {
        const { remote, a, b, start, settle } = await world(told.first ? { a: 12, b: 11 } : { a: 11, b: 12 });
        await start(BASE);
        const [sideA, sideB] = [new Side(a, "a"), new Side(b, "b")];
        const offline = told.way.startsWith("restart");
        remote.unreachable = offline;
        const isEarly = (action: Action) => "path" in action && told.parts.some((part) => action.path.startsWith(part));
        await write(b, { [`${told.way} b`]: "b" });
        await sideB.play([...BOTH, ...told.early].filter(isEarly));
        if (offline) {
          await b.flush();
          remote.unreachable = false;
          await b.restart();
        }
        await sideA.play([...BOTH, ...told.theirs]);
        await a.flush();
        if (told.way.includes("death")) remote.faults.push("committed-unseen");
        await whileSwapping(remote, b, async () => {
          await sideB.play([...BOTH.filter((action) => !isEarly(action)), ...told.late]);
          await sideB.open();
          remote.unreachable = told.way.includes("death");
        });
        remote.unreachable = false;
        if (told.way === "death and others") {
          await write(a, { note: "a" });
          await a.flush();
        }
        if (told.way.includes("death")) await b.restart();
        await sideB.follow();
        await sideB.play(told.last);
        const { databases, repositories } = await settle();
        const wanted = [sideA.files, sideB.files].map(sorted);
        expect(databases).toEqual(inOrder(wanted.flatMap((side) => side.databases)));
        expect(repositories).toEqual(inOrder(wanted.flatMap((side) => side.repositories)));
      }),
      { numRuns: runs(12) },
    );
  },
  PATIENCE_MS,
);

/** So that each side has changed both. */
const BOTH = [
  { kind: "write", path: "app.db" },
  { kind: "write", path: ".git/head" },
] as const;
