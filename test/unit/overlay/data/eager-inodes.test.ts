import { expect, test } from "vitest";
import { nextTurn } from "../../../../src/base/concurrency.ts";
import type { Ino } from "../../../../src/base/ids.ts";
import { EagerInodes } from "../../../../src/overlay/data/eager-inodes.ts";

test("a caller waits for inodes whose sync is under way", async () => {
  const syncing = Promise.withResolvers<void>();
  const eager = new EagerInodes(() => syncing.promise);
  eager.add(7 as Ino);
  const ended: string[] = [];
  const runs = ["first", "second"].map((name) => eager.run().then(() => ended.push(name)));
  await nextTurn();
  expect(ended).toEqual([]);
  expect(eager.isDone).toBe(false);
  syncing.resolve();
  await Promise.all(runs);
  expect(eager.isDone).toBe(true);
});
