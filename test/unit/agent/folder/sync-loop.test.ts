/** When a watched folder has its passes. */
import { describe, expect, test } from "vitest";
import { SyncLoop, type SyncLoopOptions } from "../../../../src/agent/folder/sync-loop.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { syncStatus } from "../../../../src/agent/folder/sync-status.ts";
import type { SyncReport } from "../../../../src/sync/report.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { folderFacts } from "../../../support/folder-facts.ts";

const quiet = { info() {}, warn() {}, error() {} };
const unheard = { failure: undefined, rest: () => {}, resume: () => {}, [Symbol.asyncDispose]: async () => {} };
const REPORT: SyncReport = {
  root: "root",
  sent: { added: 0, changed: 0, moved: 0, deleted: 0 },
  received: { files: 0, removed: 0 },
  conflicts: [],
  guard: null,
  left: [],
};

/** A loop whose passes come to nothing, and that nobody tells anything, but for what is given. */
function loopWith(clock: ManualClock, own: Partial<SyncLoopOptions>): SyncLoop {
  return new SyncLoop({
    once: async () => REPORT,
    watchFolder: () => unheard,
    watchBucket: () => ({ [Symbol.dispose]: () => {} }),
    isBehind: async () => true,
    isPaused: () => false,
    scanMs: () => 0,
    heard: () => {},
    failed: () => {},
    clock,
    log: quiet,
    ...own,
  });
}

test("after a pass that brought something into the folder, the next pass comes soon, then once a minute", async () => {
  const clock = new ManualClock();
  const reports: SyncReport[] = [{ ...REPORT, received: { files: 1, removed: 0 } }];
  let passes = 0;
  const loop = loopWith(clock, {
    once: async () => {
      passes++;
      return reports.shift() ?? REPORT;
    },
  });
  const running = loop.run();
  await clock.advance(50);
  expect(passes).toBe(1);
  await clock.advance(2_000);
  expect(passes).toBe(2);
  await clock.advance(50_000);
  expect(passes).toBe(2);
  await clock.advance(15_000);
  expect(passes).toBe(3);
  loop.end();
  await running;
});

test("a folder that takes 10 s to scan is not scanned every minute", async () => {
  const clock = new ManualClock();
  let passes = 0;
  const once = async () => {
    passes++;
    return REPORT;
  };
  const loop = loopWith(clock, { once, scanMs: () => 10_000 });
  const running = loop.run();
  await clock.advance(190_000);
  expect(passes).toBe(1);
  await clock.advance(20_000);
  expect(passes).toBe(2);
  loop.end();
  await running;
});

test("without change notices the folder is scanned every 10 s, and the status says why", async () => {
  const clock = new ManualClock();
  const warned: string[] = [];
  let passes = 0;
  const loop = loopWith(clock, {
    once: async () => {
      passes++;
      return REPORT;
    },
    watchFolder: (_changed, failed) => {
      failed("the system is out of inotify watches");
      return unheard;
    },
    log: { ...quiet, warn: (message) => warned.push(message) },
  });
  const running = loop.run();
  await clock.advance(50);
  expect(passes).toBe(1);
  await clock.advance(11_000);
  expect(passes).toBe(2);
  await clock.advance(11_000);
  expect(passes).toBe(3);
  expect(loop.state().scansOnly).toContain("inotify");
  expect(warned).toEqual([expect.stringContaining("scanned every 10 s")]);
  const facts = folderFacts();
  expect(syncStatus(facts, loop.state()).sync).toMatchObject({
    notices: false,
    why: expect.stringContaining("inotify") as string,
  });
  loop.end();
  await running;
});

test("the watch rests during a pass that writes much, and changes noticed afterwards cause one more pass", async () => {
  const clock = new ManualClock();
  const heard: string[] = [];
  let passes = 0;
  const loop: SyncLoop = loopWith(clock, {
    once: async () => {
      if (passes++ === 0) loop.applying(10_000);
      heard.push("pass");
      return REPORT;
    },
    watchFolder: (changed) => ({
      ...unheard,
      rest: () => heard.push("rest"),
      resume: () => {
        heard.push("resume");
        if (passes === 1) changed(false);
      },
    }),
  });
  const running = loop.run();
  await clock.advance(2_000);
  expect(heard).toEqual(["rest", "pass", "resume", "pass", "resume"]);
  loop.end();
  await running;
});

test("a new directory is scanned once more, since changes before its watch began went unnoticed", async () => {
  const clock = new ManualClock();
  let passes = 0;
  let tell: (more: boolean) => void = () => {};
  const loop = loopWith(clock, {
    once: async () => {
      passes++;
      return REPORT;
    },
    watchFolder: (changed) => {
      tell = changed;
      return unheard;
    },
  });
  const running = loop.run();
  await clock.advance(50);
  tell(true);
  await clock.advance(500);
  expect(passes).toBe(2);
  await clock.advance(2_000);
  expect(passes).toBe(3);
  await clock.advance(50_000);
  expect(passes).toBe(3);
  loop.end();
  await running;
});

describe("a root announced during a pass", () => {
  interface Told {
    readonly isBehind?: boolean | "unreachable";
    readonly left?: SyncReport["left"];
    readonly isFolderToo?: boolean;
  }

  /** How many passes there are in half a second after the root was told of in the first one. */
  async function passesAfter({ isBehind = false, left = [], isFolderToo = false }: Told): Promise<number> {
    const clock = new ManualClock();
    let passes = 0;
    let tellRoot = () => {};
    let tellFolder: (more: boolean) => void = () => {};
    const loop = loopWith(clock, {
      once: async () => {
        if (passes++ > 0) return REPORT;
        tellRoot();
        if (isFolderToo) tellFolder(false);
        return { ...REPORT, left };
      },
      watchFolder: (changed) => {
        tellFolder = changed;
        return unheard;
      },
      watchBucket: (changed) => {
        tellRoot = changed;
        return { [Symbol.dispose]: () => {} };
      },
      isBehind: async (root) => {
        expect(root).toBe(REPORT.root);
        if (isBehind === "unreachable") throw new SynclineError("store_unreachable", "It is away.");
        return isBehind;
      },
    });
    const running = loop.run();
    await clock.advance(500);
    expect(loop.state().waiting).toBe(false);
    loop.end();
    await running;
    return passes;
  }

  test("causes no further pass if the folder is on it by then", async () => {
    expect(await passesAfter({})).toBe(1);
    // Another pass would not change that.
    expect(await passesAfter({ left: [{ path: "a", why: "name collides" }] })).toBe(1);
  });

  test.each<[string, Told]>([
    ["ahead of the folder", { isBehind: true }],
    ["unreadable", { isBehind: "unreachable" }],
    ["announced together with a folder change", { isFolderToo: true }],
    ["announced while work is left over", { left: [{ path: "a", why: "in the way" }] }],
  ])("causes another pass if it is %s", async (_, told) => {
    expect(await passesAfter(told)).toBe(2);
  });

  test("causes another pass, without a check, if it is announced after the pass", async () => {
    const clock = new ManualClock();
    let passes = 0;
    let tellRoot = () => {};
    const loop = loopWith(clock, {
      once: async () => {
        passes++;
        return REPORT;
      },
      watchBucket: (changed) => {
        tellRoot = changed;
        return { [Symbol.dispose]: () => {} };
      },
      isBehind: () => Promise.reject(new SynclineError("internal", "It is asked.")),
    });
    const running = loop.run();
    await clock.advance(50);
    tellRoot();
    await clock.advance(500);
    expect(passes).toBe(2);
    loop.end();
    await running;
  });
});

test("a paused folder makes no pass and does not look for others' roots; after the pause it catches up", async () => {
  const clock = new ManualClock();
  let [isPaused, passes, watches] = [false, 0, 0];
  const loop = loopWith(clock, {
    once: async () => {
      passes++;
      return REPORT;
    },
    watchBucket: () => {
      watches++;
      return { [Symbol.dispose]: () => void watches-- };
    },
    isPaused: () => isPaused,
  });
  const running = loop.run();
  await clock.advance(100);
  expect({ passes, watches }).toEqual({ passes: 1, watches: 1 });
  isPaused = true;
  loop.wake();
  await clock.advance(10 * 60_000);
  await loop.flush();
  expect({ passes, watches }).toEqual({ passes: 1, watches: 0 });
  isPaused = false;
  loop.wake();
  await clock.advance(100);
  expect({ passes, watches }).toEqual({ passes: 2, watches: 1 });
  loop.end();
  await running;
  expect(watches).toBe(0);
});
