/** How old the oldest unpublished change is, after agents that started and ended. */
import { describe, expect, test } from "vitest";
import { ManualClock } from "../../support/manual-clock.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

const DAY_MS = 24 * 60 * 60 * 1_000;

/** A clock whose wall time can be set. */
class WrongClock extends ManualClock {
  offNs = 0n;

  override nowNs(): bigint {
    return super.nowNs() + this.offNs;
  }
}

async function withClock(): Promise<{ fs: VfsHarness; clock: WrongClock; oldestMs: () => number }> {
  const clock = new WrongClock();
  const fs = await VfsHarness.create({}, clock);
  return { fs, clock, oldestMs: () => fs.vfs.pending().oldestMs };
}

function restart(fs: VfsHarness): void {
  fs.vfs.persist();
  fs.restart();
}

describe("the oldest unpublished change", () => {
  test("keeps its age over restarts, also if a new file changes each day", async () => {
    const { fs, clock, oldestMs } = await withClock();
    const ino = await fs.make("f", "x");
    for (let day = 1; day <= 3; day++) {
      await clock.advance(DAY_MS);
      restart(fs);
      await fs.write(ino, 0, String(day));
      expect(oldestMs()).toBe(day * DAY_MS);
    }
  });

  test.each(["edited", "removed"])("keeps its age over a restart: a file %s", async (how) => {
    const { fs, clock, oldestMs } = await withClock();
    await fs.make("f", "x");
    await fs.publish();
    await clock.advance(5_000);
    if (how === "edited") await fs.write(await fs.ino("f"), 0, "y");
    else await fs.unlink("f");
    await clock.advance(DAY_MS);
    restart(fs);
    await fs.make("later", "x");
    expect(oldestMs()).toBe(DAY_MS);
  });

  test("keeps its age over a restart while its epoch is being published, and after it was removed there", async () => {
    const { fs, clock, oldestMs } = await withClock();
    await fs.make("f", "x");
    expect(fs.vfs.seal()).toBeDefined();
    await clock.advance(DAY_MS);
    await fs.unlink("f");
    restart(fs);
    expect(oldestMs()).toBe(DAY_MS);
  });

  test("that comes after a publication is new, though this agent began with older changes in flight", async () => {
    const { fs, clock, oldestMs } = await withClock();
    await fs.make("f", "x");
    expect(fs.vfs.seal()).toBeDefined();
    await clock.advance(DAY_MS);
    restart(fs);
    await fs.publish();
    await fs.make("g", "x");
    await clock.advance(1_000);
    expect(oldestMs()).toBe(1_000);
  });

  test.each([
    ["the future", DAY_MS],
    ["1970", -1_700_000_000_000],
  ])("counts from the restart if a wrong clock dated it to %s", async (_when, offMs) => {
    const { fs, clock, oldestMs } = await withClock();
    clock.offNs = BigInt(offMs) * 1_000_000n;
    await fs.make("f", "x");
    clock.offNs = 0n;
    await clock.advance(1_000);
    restart(fs);
    await clock.advance(2_000);
    expect(oldestMs()).toBe(2_000);
  });
});
