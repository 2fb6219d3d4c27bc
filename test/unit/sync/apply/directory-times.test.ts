/** A directory's time follows its entries on the disk: after others' changes in it, it must show the bucket's again. */
import { describe, expect, test } from "vitest";
import { path, killed, settle, settledTree, type SyncedFolder, twoFolders } from "../../../support/sync-world.ts";

const DIRECTORIES = ["d", "d/in"];

async function timesIn({ disk }: SyncedFolder): Promise<Record<string, bigint | undefined>> {
  const stats = DIRECTORIES.map(async (each) => [each, (await disk.look(path(each)))?.mtimeNs] as const);
  return Object.fromEntries(await Promise.all(stats));
}

/** `b` is about to get newer versions of files in directories that themselves did not change. */
async function edited(places: "at a time" | "one by one") {
  const { world, a, b } = await twoFolders();
  if (places === "one by one") b.disk.placeAll = undefined;
  for (const each of DIRECTORIES) a.disk.make(path(each));
  for (const each of DIRECTORIES) for (const file of ["1", "2"]) a.disk.write(path(`${each}/${file}`), "old");
  await settle(world);
  a.disk.tick(3_000_000_000n);
  for (const each of DIRECTORIES) for (const file of ["1", "2"]) a.disk.write(path(`${each}/${file}`), "newer");
  await a.sync();
  b.disk.tick(3_000_000_000n);
  const times = await timesIn(a);
  expect(await timesIn(b)).toEqual(times);
  return { world, a, b, times };
}

describe.each(["at a time", "one by one"] as const)("when files are placed %s", (places) => {
  test.each(["boot 1", "boot 2"])(
    "directories show the bucket's times after a kill at any moment, in %s",
    async (boot) => {
      let wrong = 0;
      for (let change = FIRST; ; change += STEP) {
        const { world, a, b, times } = await edited(places);
        if (!(await killed(b, change))) break;
        if (Object.entries(await timesIn(b)).some(([each, time]) => time !== times[each])) wrong++;
        b.disk.boot = boot;
        await settledTree(world);
        expect([change, await timesIn(a), await timesIn(b)]).toEqual([change, times, times]);
      }
      expect(wrong).toBeGreaterThan(1);
    },
  );
});

test("what somebody adds to a directory after a kill gives the directory its time", async () => {
  const { world, a, b, times } = await edited("at a time");
  for (let change = 0; (await timesIn(b))["d"] === times["d"]; change++) await killed(b, change);
  b.disk.write(path("d/mine"), "mine");
  const now = (await timesIn(b))["d"];
  await settledTree(world);
  expect([(await timesIn(a))["d"], (await timesIn(b))["d"]]).toEqual([now, now]);
});

/** Earlier, nothing has its place. */
const FIRST = 20;
/** Every moment with SYNCLINE_TEST_ALL. */
const STEP = process.env["SYNCLINE_TEST_ALL"] === undefined ? 3 : 1;
