/** When a watched folder has its rounds. */
import { describe, expect, test } from "vitest";
import { SyncLoop, type SyncLoopOptions } from "../../src/agent/sync-loop.ts";
import { SynclineError } from "../../src/base/errors.ts";
import { syncStatus } from "../../src/agent/sync-status.ts";
import type { SyncReport } from "../../src/sync/report.ts";
import { ManualClock } from "../support/manual-clock.ts";

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

/** A loop whose rounds come to nothing, and that nobody tells anything, but for what is given. */
function loopWith(clock: ManualClock, own: Partial<SyncLoopOptions>): SyncLoop {
  return new SyncLoop({
    once: async () => REPORT,
    watchFolder: () => unheard,
    watchBucket: () => ({ [Symbol.dispose]: () => {} }),
    isBehind: async () => true,
    scanMs: () => 0,
    heard: () => {},
    failed: () => {},
    clock,
    log: quiet,
    ...own,
  });
}

test("after a round that brought something into the folder it is looked at again soon, then once a minute", async () => {
  const clock = new ManualClock();
  const reports: SyncReport[] = [{ ...REPORT, received: { files: 1, removed: 0 } }];
  let rounds = 0;
  const loop = loopWith(clock, {
    once: async () => {
      rounds++;
      return reports.shift() ?? REPORT;
    },
  });
  const running = loop.run();
  await clock.advance(50);
  expect(rounds).toBe(1);
  await clock.advance(2_000);
  expect(rounds).toBe(2);
  await clock.advance(50_000);
  expect(rounds).toBe(2);
  await clock.advance(15_000);
  expect(rounds).toBe(3);
  loop.end();
  await running;
});

test("a folder that takes 10 s to look at is not looked at every minute", async () => {
  const clock = new ManualClock();
  let rounds = 0;
  const once = async () => {
    rounds++;
    return REPORT;
  };
  const loop = loopWith(clock, { once, scanMs: () => 10_000 });
  const running = loop.run();
  await clock.advance(190_000);
  expect(rounds).toBe(1);
  await clock.advance(20_000);
  expect(rounds).toBe(2);
  loop.end();
  await running;
});

test("without notices the folder is scanned every 10 s, and the status says why", async () => {
  const clock = new ManualClock();
  const warned: string[] = [];
  let rounds = 0;
  const loop = loopWith(clock, {
    once: async () => {
      rounds++;
      return REPORT;
    },
    watchFolder: (_changed, failed) => {
      failed("the system has no more inotify watches");
      return unheard;
    },
    log: { ...quiet, warn: (message) => warned.push(message) },
  });
  const running = loop.run();
  await clock.advance(50);
  expect(rounds).toBe(1);
  await clock.advance(11_000);
  expect(rounds).toBe(2);
  await clock.advance(11_000);
  expect(rounds).toBe(3);
  expect(loop.state().scansOnly).toContain("inotify");
  expect(warned).toEqual([expect.stringContaining("scanned every 10 s")]);
  const facts = { folder: "/work", address: "file:///b", cache: () => ({ bytes: 0, limit: 1 }), conflicts: () => [] };
  expect(syncStatus(facts, loop.state()).sync).toMatchObject({
    notices: false,
    why: expect.stringContaining("inotify") as string,
  });
  loop.end();
  await running;
});

test("a round that writes much is not listened to, and one more follows when the folder is listened to again", async () => {
  const clock = new ManualClock();
  const heard: string[] = [];
  let rounds = 0;
  const loop: SyncLoop = loopWith(clock, {
    once: async () => {
      if (rounds++ === 0) loop.applying(10_000);
      heard.push("round");
      return REPORT;
    },
    watchFolder: (changed) => ({
      ...unheard,
      rest: () => heard.push("rest"),
      resume: () => {
        heard.push("resume");
        if (rounds === 1) changed(false);
      },
    }),
  });
  const running = loop.run();
  await clock.advance(2_000);
  expect(heard).toEqual(["rest", "round", "resume", "round", "resume"]);
  loop.end();
  await running;
});

test("a directory that came is looked into once more, since what came into it was not told of before it was watched", async () => {
  const clock = new ManualClock();
  let rounds = 0;
  let tell: (more: boolean) => void = () => {};
  const loop = loopWith(clock, {
    once: async () => {
      rounds++;
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
  expect(rounds).toBe(2);
  await clock.advance(2_000);
  expect(rounds).toBe(3);
  await clock.advance(50_000);
  expect(rounds).toBe(3);
  loop.end();
  await running;
});

describe("a root that was told of during a round", () => {
  interface Told {
    readonly isBehind?: boolean | "unreachable";
    readonly left?: SyncReport["left"];
    readonly isFolderToo?: boolean;
  }

  /** How many rounds there are in half a second after the root was told of in the first one. */
  async function roundsAfter({ isBehind = false, left = [], isFolderToo = false }: Told): Promise<number> {
    const clock = new ManualClock();
    let rounds = 0;
    let tellRoot = () => {};
    let tellFolder: (more: boolean) => void = () => {};
    const loop = loopWith(clock, {
      once: async () => {
        if (rounds++ > 0) return REPORT;
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
    return rounds;
  }

  test("and on which the folder stands by then is no reason for another one", async () => {
    expect(await roundsAfter({})).toBe(1);
  });

  test.each<[string, Told]>([
    ["another one's", { isBehind: true }],
    ["one that cannot be read", { isBehind: "unreachable" }],
    ["told of beside the folder", { isFolderToo: true }],
    ["told of where something waits for a round", { left: [{ path: "a", why: "in the way" }] }],
  ])("is one where it is %s", async (_, told) => {
    expect(await roundsAfter(told)).toBe(2);
  });

  test("is one when it is told of behind the round, without asking", async () => {
    const clock = new ManualClock();
    let rounds = 0;
    let tellRoot = () => {};
    const loop = loopWith(clock, {
      once: async () => {
        rounds++;
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
    expect(rounds).toBe(2);
    loop.end();
    await running;
  });
});
