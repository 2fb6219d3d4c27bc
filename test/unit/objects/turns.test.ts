import { existsSync, rmSync } from "node:fs";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { type Disk, systemDisk } from "../../../src/objects/disk.ts";
import { watchFile, type WatchFile } from "../../../src/objects/folder-watch.ts";
import type { Turn } from "../../../src/objects/object-store.ts";
import { type ProcessIdentity, readOwnIdentity } from "../../../src/objects/process-identity.ts";
import { placeName, Turns } from "../../../src/objects/turns.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

/** Waiting takes no time on it. */
class HurriedClock implements Clock {
  nowMs = 0;
  nowNs = () => systemClock.nowNs();
  monotonicMs = () => this.nowMs;
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.nowMs += ms;
  }
  after = systemClock.after;
}

/** On which nobody ever waits for too long, however slow the machine is. */
const patientClock: Clock = { ...systemClock, monotonicMs: () => 0 };

/** One on which nothing happens unless it is heard. */
const standingClock: Clock = {
  ...patientClock,
  sleep: (_ms, signal) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason))),
};

const deaf: WatchFile = () => ({ [Symbol.dispose]: () => {} });

interface LineOptions {
  readonly clock?: Clock;
  readonly disk?: Disk;
  readonly watch?: WatchFile;
}

const PLAIN = { makeFolder: (path: string) => mkdir(path) };

function lineIn(
  folder: string,
  { clock = systemClock, disk = systemDisk, watch = watchFile }: LineOptions = {},
): Turns {
  return new Turns({ disk, clock, random: systemRandom, folder: PLAIN, path: join(folder, "turns"), watch });
}

/** Whose dates of files are the order in which they were made: a real disk's are too coarse for a test. */
function orderlyDisk(): Disk {
  const made: string[] = [];
  return {
    ...systemDisk,
    open: async (path, flags) => {
      made.push(String(path));
      return systemDisk.open(path, flags);
    },
    stat: (async (path: string) => {
      const stat = await systemDisk.stat(path);
      stat.mtimeMs = made.indexOf(path);
      return stat;
    }) as Disk["stat"],
  };
}

const waiting = (folder: string) => readdir(join(folder, "turns"));

/** A place in the line, of this process but for the changes. */
async function taken(folder: string, changes: Partial<ProcessIdentity>, agoMs = 1_000): Promise<string> {
  await mkdir(join(folder, "turns"), { recursive: true });
  const name = placeName(systemRandom, { ...(await readOwnIdentity(systemDisk)), ...changes });
  const path = join(folder, "turns", name);
  await writeFile(path, "");
  await utimes(path, new Date(), new Date(Date.now() - agoMs));
  return path;
}

/** Somebody else's place, made now. */
async function nextPlace(folder: string, disk: Disk): Promise<string> {
  const path = join(folder, "turns", placeName(systemRandom, await readOwnIdentity(systemDisk)));
  await mkdir(join(folder, "turns"), { recursive: true });
  await (await disk.open(path, "wx")).close();
  return path;
}

test("writers get their turns in order of arrival, and leave nothing behind", async () => {
  const folder = await temporaryFolder();
  const disk = orderlyDisk();
  const order: number[] = [];
  const first = await lineIn(folder, { disk }).take();
  const others: Promise<void>[] = [];
  const inTurn = async (who: number) => {
    const turn = await lineIn(folder, { disk, clock: patientClock }).take();
    expect(turn?.waited).toBe(true);
    order.push(who);
    turn?.[Symbol.dispose]();
  };
  for (let who = 0; who < 4; who++) {
    others.push(inTurn(who));
    await expect.poll(() => waiting(folder), { timeout: 20_000 }).toHaveLength(who + 2);
  }
  expect({ waited: first?.waited, order }).toEqual({ waited: false, order: [] });
  first?.[Symbol.dispose]();
  await Promise.all(others);
  expect(order).toEqual([0, 1, 2, 3]);
  await expect.poll(() => waiting(folder), { timeout: 20_000 }).toEqual([]);
});

test("the certain second in line acts on hearing the first leave, and polls less until one leaves unheard", async () => {
  const folder = await temporaryFolder();
  const disk = orderlyDisk();
  let [nowMs, looks, slept] = [0, 0, 0];
  /** Ends the last sleep as its time does. */
  let wake = () => {};
  const hints: (() => void)[] = [];
  const hearing: LineOptions = {
    disk: { ...disk, readdir: (async (path: string) => (looks++, disk.readdir(path))) as unknown as Disk["readdir"] },
    watch: (_path, changed) => (hints.push(changed), { [Symbol.dispose]: () => {} }),
    clock: {
      ...standingClock,
      monotonicMs: () => nowMs,
      sleep: (ms, signal) => {
        slept = ms;
        return Promise.race([standingClock.sleep(ms, signal), new Promise<void>((resolve) => (wake = resolve))]);
      },
    },
  };
  const second = lineIn(folder, hearing);
  const others = lineIn(folder, { disk });
  const wait = async (listening: number) => expect.poll(() => hints.length, { timeout: 20_000 }).toBe(listening);

  /** The other one's turn ends, and `tell` tells of it or lets time pass. */
  const end = async (turn: Turn | undefined, tell: () => void) => {
    turn?.[Symbol.dispose]();
    await expect.poll(() => waiting(folder), { timeout: 20_000 }).toHaveLength(1);
    tell();
  };
  const hint = () => hints.at(-1)?.();

  const first = await others.take();
  const taking = second.take();
  await wait(1);
  expect({ looks, often: slept <= 500 }).toEqual({ looks: 1, often: true });
  // Late enough to be sure that nobody else comes to be before it.
  nowMs = 600;
  hint();
  await wait(2);
  expect(looks).toBe(2);
  await end(first, hint);
  const turn = await taking;
  expect({ waited: turn?.waited, looks }).toEqual({ waited: true, looks: 2 });
  turn?.[Symbol.dispose]();

  await expect.poll(() => waiting(folder), { timeout: 20_000 }).toEqual([]);
  const again = await others.take();
  const takingAgain = second.take();
  await wait(4);
  expect(slept).toBeGreaterThanOrEqual(500);
  await end(again, hint);
  (await takingAgain)?.[Symbol.dispose]();

  // One who goes unheard, as those of other machines do.
  await expect.poll(() => waiting(folder), { timeout: 20_000 }).toEqual([]);
  const far = await others.take();
  const takingFar = second.take();
  await wait(6);
  await end(far, () => {
    nowMs += 1_000;
    wake();
  });
  (await takingFar)?.[Symbol.dispose]();
  await expect.poll(() => waiting(folder), { timeout: 20_000 }).toEqual([]);
  const last = await others.take();
  const takingLast = second.take();
  await wait(7);
  expect(slept).toBeLessThanOrEqual(500);
  await end(last, hint);
  (await takingLast)?.[Symbol.dispose]();
});

test("no two writers wait for each other: a place keeps the date that others first saw", async () => {
  const folder = await temporaryFolder();
  const first = await lineIn(folder).take();
  const dates = async () => {
    const names = (await waiting(folder)).toSorted();
    return Promise.all(names.map(async (name) => [name, (await systemDisk.stat(join(folder, "turns", name))).mtimeMs]));
  };
  const seen: unknown[] = [];
  const disk: Disk = {
    ...systemDisk,
    open: async (...where) => {
      const file = await systemDisk.open(...where);
      seen.push(await dates());
      return file;
    },
  };
  const second = lineIn(folder, { disk, clock: patientClock }).take();
  await expect.poll(() => seen, { timeout: 20_000 }).toHaveLength(1);
  first?.[Symbol.dispose]();
  using turn = await second;
  expect(turn).toBeDefined();
  expect(seen[0]).toEqual(expect.arrayContaining(await dates()));
});

test("the end of the previous turn is heard without polling", async () => {
  const folder = await temporaryFolder();
  const disk = orderlyDisk();
  const first = await lineIn(folder, { disk }).take();
  const [place] = await waiting(folder);
  const hints: (() => void)[] = [];
  const watch: WatchFile = (path, changed) => {
    expect(path).toBe(join(folder, "turns", place ?? ""));
    hints.push(changed);
    return deaf(path, changed);
  };
  const second = lineIn(folder, { disk, clock: standingClock, watch }).take();
  await expect.poll(() => hints, { timeout: 20_000 }).toHaveLength(1);
  first?.[Symbol.dispose]();
  await expect.poll(() => waiting(folder), { timeout: 20_000 }).toHaveLength(1);
  hints[0]?.();
  using turn = await second;
  expect(turn).toBeDefined();
});

test("the turn comes even when nothing can be heard", async () => {
  const folder = await temporaryFolder();
  const disk = orderlyDisk();
  const first = await lineIn(folder, { disk }).take();
  const second = lineIn(folder, { disk, watch: deaf, clock: patientClock }).take();
  await expect.poll(() => waiting(folder), { timeout: 20_000 }).toHaveLength(2);
  first?.[Symbol.dispose]();
  using turn = await second;
  expect(turn).toBeDefined();
});

test("the dates of places further back are not read again and again", async () => {
  const folder = await temporaryFolder();
  const inner = orderlyDisk();
  const asked = new Map<string, number>();
  const disk: Disk = {
    ...inner,
    stat: (async (path: string) => {
      asked.set(path, (asked.get(path) ?? 0) + 1);
      return inner.stat(path);
    }) as Disk["stat"],
  };
  const ahead = await nextPlace(folder, inner);
  const clock = new HurriedClock();
  let looks = 0;
  const watch: WatchFile = (path, changed) => {
    if (++looks === 5) rmSync(ahead);
    return deaf(path, changed);
  };
  const behind: string[] = [];
  const coming: Disk = {
    ...disk,
    readdir: (async (path: string) => {
      behind.push(await nextPlace(folder, inner));
      return systemDisk.readdir(path);
    }) as Disk["readdir"],
  };
  using turn = await lineIn(folder, { disk: coming, clock, watch }).take();
  expect(turn?.waited).toBe(true);
  expect(behind.length).toBeGreaterThan(3);
  expect(behind.filter((path) => asked.has(path)).length).toBeLessThanOrEqual(2);
});

test("a place's date is read once, however often its writer is waited for", async () => {
  const folder = await temporaryFolder();
  const asked: string[] = [];
  const inner = orderlyDisk();
  const disk: Disk = {
    ...inner,
    stat: (async (path: string) => {
      asked.push(path);
      return inner.stat(path);
    }) as Disk["stat"],
  };
  const hints = new Map<string, () => void>();
  const watch: WatchFile = (path, changed) => {
    if (!existsSync(path)) return "absent";
    hints.set(path, changed);
    return deaf(path, changed);
  };
  const line = lineIn(folder, { disk, watch, clock: standingClock });
  let ahead = await nextPlace(folder, inner);
  for (let round = 0; round < 5; round++) {
    const taking = line.take();
    await expect.poll(() => [...hints.keys()], { timeout: 60_000 }).toContain(ahead);
    // Who comes while we wait is before us the next time.
    const behind = await nextPlace(folder, inner);
    rmSync(ahead);
    hints.get(ahead)?.();
    const turn = await taking;
    expect(turn?.waited).toBe(true);
    turn?.[Symbol.dispose]();
    await expect.poll(() => waiting(folder), { timeout: 60_000 }).toHaveLength(1);
    ahead = behind;
  }
  expect(asked.length).toBe(new Set(asked).size);
});

test("a writer with the same date and a lower name gets its turn first", async () => {
  const folder = await temporaryFolder();
  const ahead = await lineIn(folder).take();
  const [first = ""] = await waiting(folder);
  const atOnce: Disk = {
    ...systemDisk,
    stat: (async (path: string) => {
      const stat = await systemDisk.stat(path);
      stat.mtimeMs = basename(path) === first ? 1 : 2.5;
      return stat;
    }) as Disk["stat"],
  };
  const own = await readOwnIdentity(systemDisk);
  const names = [0, 255].map((byte) => placeName({ bytes: (length) => new Uint8Array(length).fill(byte) }, own));
  let came = false;
  const disk: Disk = {
    ...atOnce,
    readdir: (async (path: string) => {
      const there = await systemDisk.readdir(path);
      if (!came) await writeFile(join(path, names[0] ?? ""), "");
      came = true;
      return there;
    }) as Disk["readdir"],
  };
  // So much later that whoever comes from then on has another date.
  const times = [0, 0];
  const clock: Clock = { ...systemClock, monotonicMs: () => times.shift() ?? 100 };
  const random = { ...systemRandom, bytes: (length: number) => new Uint8Array(length).fill(255) };
  const path = join(folder, "turns");
  const waitedFor: string[] = [];
  const watch: WatchFile = (file, changed) => {
    waitedFor.push(basename(file));
    return watchFile(file, changed);
  };
  const second = new Turns({ disk, clock, random, folder: PLAIN, path, watch }).take();
  await expect.poll(() => waitedFor, { timeout: 20_000 }).toContain(first);
  ahead?.[Symbol.dispose]();
  await expect.poll(() => waitedFor, { timeout: 20_000 }).toContain(names[0]);
  await systemDisk.unlink(join(path, names[0] ?? ""));
  using turn = await second;
  expect(turn).toBeDefined();
});

test("spurious hints neither grant a turn nor end the wait, and cause no busy loop", async () => {
  const folder = await temporaryFolder();
  await taken(folder, {});
  const clock = new HurriedClock();
  let hints = 0;
  const watch: WatchFile = (_path, changed) => {
    hints++;
    changed();
    return deaf("", changed);
  };
  expect(await lineIn(folder, { clock, watch }).take()).toBeUndefined();
  expect(clock.nowMs).toBeGreaterThanOrEqual(5_000);
  expect(hints).toBeLessThan(500);
});

test("a line that does not move is left after a while, and so is an unusable one", async () => {
  const folder = await temporaryFolder();
  const path = await taken(folder, { host: "id/another" });
  const clock = new HurriedClock();
  expect(await lineIn(folder, { clock, watch: deaf }).take()).toBeUndefined();
  expect(clock.nowMs).toBeGreaterThanOrEqual(5_000);
  expect(clock.nowMs).toBeLessThan(6_000);
  await expect.poll(() => waiting(folder)).toEqual([basename(path)]);
  expect(await lineIn(join(folder, "nowhere", "at all")).take()).toBeUndefined();
});

test("a line that moves is waited in for longer", async () => {
  const folder = await temporaryFolder();
  const paths: string[] = [];
  for (let who = 0; who < 4; who++) paths.push(await taken(folder, { host: "id/another" }, 20_000 - 5_000 * who));
  const clock = new HurriedClock();
  const pass = clock.sleep.bind(clock);
  clock.sleep = async (ms, signal) => {
    await pass(ms, signal);
    if (clock.nowMs > (5 - paths.length) * 4_000) await systemDisk.unlink(paths.shift() ?? "");
  };
  using turn = await lineIn(folder, { clock, watch: deaf }).take();
  expect(turn).toBeDefined();
  expect(clock.nowMs).toBeGreaterThan(15_000);
});

test("a turn is over once its process has exited, or once another machine's place is over a minute old", async () => {
  const folder = await temporaryFolder();
  const clock = new HurriedClock();
  const own = await readOwnIdentity(systemDisk);
  await taken(folder, { started: own.started + 1 });
  {
    using turn = await lineIn(folder, { clock, watch: deaf }).take();
    expect(turn?.waited).toBe(true);
  }
  const orphan = await taken(folder, { host: "id/another" });
  await utimes(orphan, new Date(), new Date(Date.now() - 61_000));
  using turn = await lineIn(folder, { clock, watch: deaf }).take();
  expect(turn?.waited).toBe(true);
  expect(clock.nowMs).toBeLessThan(5_000);
});

test("the age of a turn goes by the store's dates, whatever this machine's clock says", async () => {
  const folder = await temporaryFolder();
  const path = await taken(folder, { host: "id/another" });
  const clock = new HurriedClock();
  clock.nowNs = () => systemClock.nowNs() + 3_600_000_000_000n;
  expect(await lineIn(folder, { clock, watch: deaf }).take()).toBeUndefined();
  expect(await waiting(folder)).toContain(basename(path));
});

test("a place that cannot be removed is waited behind like any other", async () => {
  const folder = await temporaryFolder();
  const path = await taken(folder, { started: 1 });
  const unlink: Disk["unlink"] = async (which) => {
    if (which === path) throw new RangeError("EACCES");
    await systemDisk.unlink(which);
  };
  const clock = new HurriedClock();
  expect(await lineIn(folder, { clock, watch: deaf, disk: { ...systemDisk, unlink } }).take()).toBeUndefined();
});

test("a writer whose place somebody removes continues without a turn", async () => {
  const folder = await temporaryFolder();
  const disk = orderlyDisk();
  using _first = await lineIn(folder, { disk }).take();
  const [holder] = await waiting(folder);
  const second = lineIn(folder, { disk }).take();
  const its = async () => (await waiting(folder)).find((name) => name !== holder);
  await expect.poll(its, { timeout: 20_000 }).toBeDefined();
  await systemDisk.unlink(join(folder, "turns", (await its()) ?? ""));
  expect(await second).toBeUndefined();
});
