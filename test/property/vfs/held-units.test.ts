/**
 * One agent has a database open while the other one changes it again and again. The first one sees no change until it closes
 * the database. In the end there is one whole version of each side that wrote. SYNCLINE_TEST_ALL: as for merge-laws.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { VfsDriver } from "../../../src/simulate/vfs-driver.ts";
import { PATIENCE_MS, runs } from "../../support/law-suite.ts";
import { actions, BASE, type Action, Side } from "../../support/unit-side.ts";
import { filesOf, inOrder, type Files, sorted, whileSwapping, world, write } from "../../support/unit-world.ts";

const rounds = fc.array(fc.record({ theirs: actions, merges: fc.boolean(), kills: fc.boolean() }), {
  minLength: 1,
  maxLength: 3,
});
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
        for (const { theirs, merges, kills } of all) {
          await sideA.play([MAIN, ...theirs.filter(isDatabase)]);
          await a.flush();
          if (merges) await write(b, { unrelated: `b ${++count}` });
          await (merges ? b.flush() : b.catchUp());
          if (kills) await b.replace();
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

const turns = fc.array(
  fc.record({
    theirs: actions,
    ours: actions,
    when: fc.constantFrom("before", "meanwhile", "after"),
    kills: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);

test(
  "a program that has a database open sees at its names what it wrote there, whichever version wins",
  async () => {
    await fc.assert(
      fc.asyncProperty(turns, fc.boolean(), async (all, first) => {
        const { remote, a, b, start, settle } = await world(first ? { a: 12, b: 11 } : { a: 11, b: 12 });
        await start(BASE);
        const [sideA, sideB] = [new Side(a, "a"), new Side(b, "b")];
        const { ino } = await b.mount.stat("app.db");
        await new VfsDriver(b.vfs).run((vfs) => vfs.holdVersion(ino));
        let current: readonly Action[] = [];
        const act = () => sideB.play(current);
        for (const [turn, { theirs, ours, when, kills }] of all.entries()) {
          current = [
            ...(turn === 0 ? [MAIN] : []),
            ...ours.filter((action) => isDatabase(action) && isInPlace(action)),
          ];
          // The other side does not see what it lost: it goes on with what has the name.
          await sideA.play([MAIN, ...theirs.filter((action) => action.kind === "write" && isDatabase(action))]);
          await a.flush();
          if (when === "before") await act();
          else await write(b, { unrelated: `b ${turn}` });
          if (when === "meanwhile") await whileSwapping(remote, b, act);
          else await b.flush();
          if (kills) await b.replace();
          if (when === "after") await act();
          expect(database(await filesOf(b))).toEqual(database(sideB.files));
          expect(b.trouble).toBeUndefined();
        }
        await sideB.play([MAIN]);
        await b.flush();
        expect(database(await filesOf(b))).toEqual(database(sideB.files));
        b.vfs.releaseVersion(ino);
        b.mount.dropCaches();
        const released = await filesOf(b);
        await settle();
        expect(inOrder(sorted(released).databases)).toContainEqual(sorted(sideB.files).databases[0]);
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

/** The main file stays the one that the program opened. */
function isInPlace(action: Action): boolean {
  return !("path" in action) || action.path !== "app.db" || action.kind === "write";
}

function database(files: Files): Files {
  return Object.fromEntries(Object.entries(files).filter(([path]) => path.startsWith("app.")));
}
