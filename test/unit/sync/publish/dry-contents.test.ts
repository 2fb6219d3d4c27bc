/** A dry run merges contents that are in the folder only, as the pass will. */
import { expect, test } from "vitest";
import { path, settle, twoFolders } from "../../../support/sync-world.ts";

const lines = (first: string, last: string) => `${first}\n${"a line\n".repeat(2_000)}${last}\n`;

test.each([
  ["text", "n.txt", lines("one", "two"), lines("of a", "two"), lines("one", "of b")],
  ["log", "l.log", lines("one", "two"), `${lines("one", "two")}of a\n`, `${lines("one", "two")}of b\n`],
])("a dry run tells of a %s merged with others' edits what the pass then does", async (_, name, base, ofA, ofB) => {
  const { world, a, b } = await twoFolders();
  a.disk.write(path(name), base);
  await settle(world);
  a.disk.tick(3_000_000_000n);
  b.disk.tick(3_000_000_000n);
  a.disk.write(path(name), ofA);
  await a.sync();
  b.disk.write(path(name), ofB);
  const dry = await b.dryRun();
  const pass = await b.sync();
  expect(dry.plan.puts.map(({ path: at, what }) => [at, what])).toEqual([[path(name), "change"]]);
  expect(dry.conflicts).toEqual([]);
  expect(dry.plan.puts.map(({ target }) => target.record.content)).toEqual(
    pass.plan.puts.map(({ target }) => target.record.content),
  );
  expect(b.disk.tree().get(name)).toContain("of a\n");
});
