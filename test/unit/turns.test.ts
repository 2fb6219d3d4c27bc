import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { systemDisk } from "../../src/objects/disk.ts";
import { Turns } from "../../src/objects/turns.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** A clock on which waiting takes no time. */
function hurriedClock(): Clock {
  let nowMs = 0;
  return { ...systemClock, monotonicMs: () => nowMs, sleep: async (ms) => void (nowMs += ms) };
}

async function lineIn(folder: string, clock: Clock = systemClock): Promise<Turns> {
  await mkdir(join(folder, "tmp"), { recursive: true });
  const temporary = async () => join(folder, "tmp", Buffer.from(systemRandom.bytes(8)).toString("hex"));
  return new Turns({ disk: systemDisk, clock, random: systemRandom, path: join(folder, "turn"), temporary });
}

test("writers have their turns one after the other, and nothing of them stays", async () => {
  const folder = await temporaryFolder();
  const lines = await Promise.all(Array.from({ length: 5 }, () => lineIn(folder)));
  let now = 0;
  let had = 0;
  await Promise.all(
    lines.map(async (line) => {
      using _ = await line.take();
      expect(++now).toBe(1);
      await systemClock.sleep(1);
      now--;
      had++;
    }),
  );
  expect(had).toBe(5);
  await expect.poll(() => readdir(folder)).toEqual(["tmp"]);
  expect(await readdir(join(folder, "tmp"))).toEqual([]);
});

test("whoever waited long goes on without a turn, and so does who cannot wait here", async () => {
  const folder = await temporaryFolder();
  using _held = await (await lineIn(folder)).take();
  using _tired = await (await lineIn(folder, hurriedClock())).take();
  expect(await readdir(folder)).toContain("turn");
  const nowhere = new Turns({
    disk: systemDisk,
    clock: systemClock,
    random: systemRandom,
    path: join(folder, "gone", "turn"),
    temporary: async () => join(folder, "gone", "tmp"),
  });
  using _none = await nowhere.take();
});
