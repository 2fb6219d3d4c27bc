/**
 * One agent has a database open while the other one changes it again and again. The first one sees no change until it closes
 * the database. In the end there is one whole version of each side that wrote. SYNCLINE_TEST_ALL: as for merge-laws.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { PATIENCE_MS, runs } from "../../support/law-suite.ts";
import { actions, BASE, type Action, Side } from "../../support/unit-side.ts";
import { filesOf, inOrder, type Files, sorted, world, write } from "../../support/unit-world.ts";

const rounds = fc.array(fc.record({ theirs: actions, merges: fc.boolean() }), { minLength: 1, maxLength: 3 });
const history = fc.record({
  opened: fc.subarray(["app.db", "app.db-wal", "app.db-shm"], { minLength: 1 }),
  rounds,
  last: fc.option(actions, { nil: undefined }),
  first: fc.boolean(),
});

test(
  "a database that a program has open stays whole, whatever others make of it meanwhile",
  async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ opened, rounds: all, last, first }) => {
        const { a, b, start, settle } = await world(first ? { a: 12, b: 11 } : { a: 11, b: 12 });
        await start(BASE);
        const [sideA, sideB] = [new Side(a, "a"), new Side(b, "b")];
        const inos = [];
        for (const path of opened) inos.push((await b.mount.stat(path)).ino);
        for (const ino of inos) await new VfsDriver(b.vfs).run((vfs) => vfs.holdVersion(ino));
        let count = 0;
        for (const { theirs, merges } of all) {
          await sideA.play([MAIN, ...theirs.filter(isDatabase)]);
          await a.flush();
          if (merges) await write(b, { unrelated: `b ${++count}` });
          await (merges ? b.flush() : b.catchUp());
          expect(database(await filesOf(b))).toEqual(database(BASE));
          expect(b.trouble).toBeUndefined();
        }
        await sideB.play(last === undefined ? [] : [MAIN, ...last.filter(isDatabase)]);
        expect(database(await filesOf(b))).toEqual(database(sideB.files));
        for (const ino of inos) b.vfs.releaseVersion(ino);
        expect(database(await filesOf(b))).toEqual(database((last === undefined ? sideA : sideB).files));
        const { databases } = await settle();
        const sides = last === undefined ? [sideA] : [sideA, sideB];
        expect(databases).toEqual(inOrder(sides.flatMap(({ files }) => sorted(files).databases)));
      }),
      { numRuns: runs(12) },
    );
  },
  PATIENCE_MS,
);

const MAIN = { kind: "write", path: "app.db" } as const;

function isDatabase(action: Action): boolean {
  return !("path" in action) || (action.path.startsWith("app") && !("to" in action && action.to.startsWith(".git")));
}

function database(files: Files): Files {
  return Object.fromEntries(Object.entries(files).filter(([path]) => path.startsWith("app.")));
}
