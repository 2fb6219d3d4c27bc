import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rename, utimes, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { SerialQueue } from "../../src/base/concurrency.ts";
import { systemRandom } from "../../src/base/random.ts";
import { type Disk, systemDisk } from "../../src/objects/disk.ts";
import { FileLock, type LockHolder } from "../../src/objects/file-lock.ts";
import { readOwnIdentity } from "../../src/objects/process-identity.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { systemError } from "../support/watched-disk.ts";

/** A clock on which waiting takes no time. */
function hurriedClock(): Clock {
  let nowMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => nowMs,
    sleep: async (ms) => void (nowMs += ms),
  };
}

async function lockIn(folder: string, clock: Clock = systemClock, disk: Disk = systemDisk): Promise<FileLock> {
  await mkdir(join(folder, "tmp"), { recursive: true });
  let files = 0;
  const name = Buffer.from(systemRandom.bytes(6)).toString("hex");
  const temporary = async () => join(folder, "tmp", `${name}-${files++}`);
  return new FileLock({ disk, clock, random: systemRandom, path: join(folder, "lock"), temporary });
}

/** A disk with which something happens before each call, which is told its number; one call after the other. */
function stepwise(before: (call: number) => Promise<void>): Disk {
  const queue = new SerialQueue();
  let calls = 0;
  const step = <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) => {
    return (...args: Args): Promise<Result> => {
      return queue.run(async () => {
        await before(calls++);
        return call(...args);
      });
    };
  };
  const { link, unlink, stat, open } = systemDisk;
  const readFile = ((path: string, encoding: "utf8") =>
    queue.run(async () => {
      if (path.endsWith("lock")) await before(calls++);
      return systemDisk.readFile(path, encoding);
    })) as Disk["readFile"];
  return {
    ...systemDisk,
    link: step(link),
    unlink: step(unlink),
    stat: step(stat) as Disk["stat"],
    open: step(open),
    readFile,
  };
}

/** A process that has ended, by its id. */
async function endedProcess(): Promise<number> {
  const child = spawn("true");
  await once(child, "exit");
  return child.pid ?? 0;
}

async function holder(changes: Partial<LockHolder> = {}): Promise<LockHolder> {
  const own = await readOwnIdentity(systemDisk);
  return { ...own, nonce: "ab".repeat(12), created: "2026-01-01T00:00:00.000Z", ...changes };
}

async function held(folder: string, changes: Partial<LockHolder>): Promise<string> {
  const path = join(folder, "lock");
  await writeFile(path, JSON.stringify(await holder(changes)));
  return path;
}

describe("the lock", () => {
  test("that was left in a folder that had gone away meanwhile is removed when it is back", async () => {
    const folder = await temporaryFolder();
    const [lock, other] = [await lockIn(folder), await lockIn(folder, hurriedClock())];
    await lock.run(() => rename(folder, `${folder}-away`));
    await lock.tidy();
    await rename(`${folder}-away`, folder);
    await expect(other.run(async () => {})).rejects.toMatchObject({ code: "bucket_locked" });
    await lock.tidy();
    expect(await other.run(async () => "free")).toBe("free");
  });

  test("is free again whenever its folder goes away and comes back while it is taken, held and given up", async () => {
    for (let gone = 0; gone < 12; gone++) {
      for (let back = gone + 1; back < 14; back++) {
        const folder = await temporaryFolder();
        const away = `${folder}-away`;
        let steady = false;
        const before = async (call: number) => {
          if (call === gone && !steady) await rename(folder, away);
          if (call === back && !steady) await rename(away, folder);
        };
        const lock = await lockIn(folder, systemClock, stepwise(before));
        await lock.run(async () => {}).catch(() => {});
        steady = true;
        await rename(away, folder).catch(() => {});
        await lock.tidy();
        expect(await (await lockIn(folder, hurriedClock())).run(async () => "free"), `${gone}, ${back}`).toBe("free");
      }
    }
  });

  test("is held by one at a time, and nothing is left of it", async () => {
    const folder = await temporaryFolder();
    let inside = 0;
    let most = 0;
    let entries = 0;
    const contender = async () => {
      const lock = await lockIn(folder);
      for (let round = 0; round < 5; round++) {
        await lock.run(async () => {
          most = Math.max(most, ++inside);
          entries++;
          await readFile(join(folder, "lock"));
          inside--;
        });
      }
    };
    await Promise.all(Array.from({ length: 16 }, contender));
    expect({ most, entries }).toEqual({ most: 1, entries: 80 });
    expect(await readdir(folder)).toEqual(["tmp"]);
    expect(await readdir(join(folder, "tmp"))).toEqual([]);
  });

  test("is given up when what it was held for fails", async () => {
    const lock = await lockIn(await temporaryFolder());
    await expect(lock.run(async () => Promise.reject(new RangeError("no")))).rejects.toThrow("no");
    expect(await lock.run(async () => "again")).toBe("again");
  });

  test("that cannot be written for want of space leaves no open file and nothing behind", async () => {
    const folder = await temporaryFolder();
    const files: FileHandle[] = [];
    const open: Disk["open"] = async (...where) => {
      const file = await systemDisk.open(...where);
      files.push(file);
      file.writeFile = () => Promise.reject(systemError("ENOSPC"));
      return file;
    };
    const lock = await lockIn(folder, systemClock, { ...systemDisk, open });
    await expect(lock.run(async () => {})).rejects.toMatchObject({ code: "ENOSPC" });
    expect(files.map(({ fd }) => fd)).toEqual([-1]);
    expect(await readdir(join(folder, "tmp"))).toEqual([]);
  });

  test("says who holds it, and what to do, when it does not become free", async () => {
    const folder = await temporaryFolder();
    await held(folder, { host: "id/other-machine", pid: 4242 });
    await expect((await lockIn(folder, hurriedClock())).run(async () => {})).rejects.toMatchObject({
      code: "bucket_locked",
      message: expect.stringMatching(/process 4242 on other-machine since 2026-01-01/),
      hint: expect.stringContaining("syncline unlock"),
    });
  });

  test("is not waited for any longer than it is wanted", async () => {
    const folder = await temporaryFolder();
    await held(folder, {});
    let asked = 0;
    const done = await (
      await lockIn(folder, hurriedClock())
    ).run(
      async () => "held",
      async () => ++asked < 3,
    );
    expect({ done, asked }).toEqual({ done: undefined, asked: 3 });
  });

  test("can be broken by hand, and says whose it was", async () => {
    const folder = await temporaryFolder();
    await held(folder, { host: "id/other-machine", pid: 4242 });
    const lock = await lockIn(folder, hurriedClock());
    expect(await lock.break(false)).toBe("process 4242 on other-machine since 2026-01-01T00:00:00.000Z");
    expect(await lock.break(false)).toBeUndefined();
    expect(await lock.run(async () => "free")).toBe("free");
  });

  test("is not taken from its next holder by one from whom it was broken", async () => {
    const folder = await temporaryFolder();
    const [first, other] = [await lockIn(folder), await lockIn(folder)];
    await first.run(async () => {
      await other.break(true);
      await held(folder, { nonce: "cd".repeat(12) });
    });
    expect(JSON.parse(await readFile(join(folder, "lock"), "utf8"))).toMatchObject({ nonce: "cd".repeat(12) });
  });
});

describe("a lock left behind", () => {
  test("by a process that has ended is taken over by one of many at a time", async () => {
    const folder = await temporaryFolder();
    for (let round = 0; round < 10; round++) {
      await held(folder, { pid: await endedProcess(), nonce: round.toString(16).padStart(24, "0") });
      let inside = 0;
      let most = 0;
      const contenders = await Promise.all(Array.from({ length: 8 }, () => lockIn(folder)));
      await Promise.all(
        contenders.map((lock) =>
          lock.run(async () => {
            most = Math.max(most, ++inside);
            await readFile(join(folder, "lock"));
            inside--;
          }),
        ),
      );
      expect(most).toBe(1);
    }
    expect(await readdir(folder)).toEqual(["tmp"]);
  });

  test("by a process whose number another one has now is taken over", async () => {
    const folder = await temporaryFolder();
    await held(folder, { started: 1 });
    expect(await (await lockIn(folder, hurriedClock())).run(async () => "taken")).toBe("taken");
  });

  test("in a takeover that was itself interrupted is taken over", async () => {
    const folder = await temporaryFolder();
    const pid = await endedProcess();
    await held(folder, { pid });
    const claim = JSON.stringify(await holder({ pid, nonce: "cd".repeat(12) }));
    await writeFile(join(folder, `lock-takeover-${"ab".repeat(12)}`), claim);
    expect(await (await lockIn(folder, hurriedClock())).run(async () => "taken")).toBe("taken");
    expect(await readdir(folder)).toEqual(["tmp"]);
  });

  test("empty by a power cut is taken over", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "lock"), "");
    expect(await (await lockIn(folder, hurriedClock())).run(async () => "taken")).toBe("taken");
  });

  test("before this machine started is taken over; one of its namesake on the network is not", async () => {
    const folder = await temporaryFolder();
    const path = await held(folder, { boot: "another" });
    await expect((await lockIn(folder, hurriedClock())).run(async () => {})).rejects.toMatchObject({
      code: "bucket_locked",
    });
    await utimes(path, 1_000_000, 1_000_000);
    expect(await (await lockIn(folder, hurriedClock())).run(async () => "taken")).toBe("taken");
  });

  test.each([
    ["a running process", {}],
    ["a process of another machine", { host: "elsewhere/elsewhere", pid: 1 }],
    ["a process of another container", { namespace: "pid:[1]", pid: 999_999 }],
  ])("by %s is left alone", async (_, changes) => {
    const folder = await temporaryFolder();
    await held(folder, changes);
    await expect((await lockIn(folder, hurriedClock())).run(async () => {})).rejects.toMatchObject({
      code: "bucket_locked",
    });
  });
});
