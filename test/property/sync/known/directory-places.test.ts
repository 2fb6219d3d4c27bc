/** A directory's place is what the database has, whatever was done to it since it was asked for. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ROOT_ID, type FileId, type FileName } from "../../../../src/base/ids.ts";
import { SyncDatabase } from "../../../../src/sync/known/database.ts";
import type { Entry } from "../../../../src/sync/known/entry.ts";

const ids = [1, 2, 3].map((each) => `0${each}`.repeat(16) as FileId);
const id = fc.constantFrom(...ids);
const place = fc.record({
  parent: fc.constantFrom(ROOT_ID, ...ids),
  name: fc.constantFrom("a" as FileName, "b" as FileName),
});
const act = fc.oneof(
  fc.record({ kind: fc.constant("put" as const), place, id }),
  fc.record({ kind: fc.constant("remove" as const), place }),
  fc.record({ kind: fc.constant("move" as const), place, to: place }),
  fc.record({ kind: fc.constant("park" as const), place }),
  fc.record({ kind: fc.constant("succeed" as const), id, after: id }),
  fc.record({ kind: fc.constant("forget" as const) }),
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

function entryWith(at: Pick<Entry, "parent" | "name" | "id">): Entry {
  const times = { mtimeNs: 1n, ctimeNs: 1n };
  const owned = { mode: 0o755, uid: 0, gid: 0, size: 0, ...times };
  return {
    ...at,
    record: {
      ...owned,
      type: "directory",
      rdev: 0,
      xattrs: new Map(),
      content: { kind: "empty" },
      target: "",
      conflict: undefined,
      unknown: new Map(),
    },
    seen: { ...owned, ino: 1n, birthNs: 1n, xattrs: "", hasty: false },
  };
}

function run(db: SyncDatabase, what: Act): void {
  const entry = "place" in what ? db.at(what.place) : undefined;
  if (what.kind === "put") db.put(entryWith({ ...what.place, id: what.id }));
  else if (what.kind === "remove") db.remove(what.place);
  else if (what.kind === "succeed") db.succeed(what.id, what.after);
  else if (what.kind === "forget") db.forget();
  else if (entry !== undefined && what.kind === "move") db.move(entry, what.to);
  else if (entry !== undefined) db.park(entry);
}

function expectAsStored(db: SyncDatabase): void {
  const stored = ids.map((each) => db.byId(each).map(({ parent, name }) => ({ parent, name }))[0]);
  expect(ids.map((each) => db.placeOf(each))).toEqual(stored);
}

test("the place of a directory is the one that is stored, also after changes that were undone", async () => {
  const step = fc.record({ acts: fc.array(act, { minLength: 1, maxLength: 3 }), isUndone: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const db = new SyncDatabase(":memory:");
      for (const { acts, isUndone } of steps) {
        const done = db.transaction(() => {
          for (const each of acts) {
            run(db, each);
            expectAsStored(db);
          }
          if (isUndone) throw new Error("undone");
        });
        const wasUndone = await done.then(
          () => false,
          () => true,
        );
        expect(wasUndone).toBe(isUndone);
        expectAsStored(db);
      }
      db.close();
    }),
  );
});
