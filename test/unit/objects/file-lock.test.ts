import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rename, symlink, utimes, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { SerialQueue } from "../../../src/base/concurrency.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { type Disk, systemDisk } from "../../../src/objects/disk.ts";
import { FileLock } from "../../../src/objects/file-lock.ts";
import type { LockHolder } from "../../../src/objects/lock-holder.ts";
import { readOwnIdentity } from "../../../src/objects/process-identity.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { systemError } from "../../support/watched-disk.ts";

/** A clock on which waiting takes no time. */
function hurriedClock(): Clock {
  let nowMs = 0;
  return { ...systemClock, monotonicMs: () => nowMs, sleep: async (ms) => void (nowMs += ms) };
}

async function lockIn(folder: string, clock: Clock = systemClock, disk: Disk = systemDisk): Promise<FileLock> {
  await mkdir(join(folder, "tmp"), { recursive: true });
  let files = 0;
  const name = Buffer.from(systemRandom.bytes(6)).toString("hex");
  const openTemporary = async () => {
    const temporaryPath = join(folder, "tmp", `${name}-${files++}`);
    return { path: temporaryPath, file: await disk.open(temporaryPath, "wx") };
  };
  const beside = { openTemporary, withdraw: async () => {} };
  return new FileLock({ disk, clock, random: systemRandom, path: join(folder, "lock"), folder: beside });
}

type Five = [
  PromiseWithResolvers<void>,
  PromiseWithResolvers<void>,
  PromiseWithResolvers<void>,
  PromiseWithResolvers<void>,
  PromiseWithResolvers<void>,
];

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
  return { ...systemDisk, link: step(link), unlink: step(unlink), stat: step(stat) as Disk["stat"], open: step(open) };
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
  test("left in a folder that disappeared meanwhile is removed once the folder is back", async () => {
    const folder = await temporaryFolder();
    const [lock, other] = [await lockIn(folder), await lockIn(folder, hurriedClock())];
    await lock.run(() => rename(folder, `${folder}-away`));
    await lock.tidy();
    await rename(`${folder}-away`, folder);
    await expect(other.run(async () => {})).rejects.toMatchObject({ code: "bucket_locked" });
    await lock.tidy();
    expect(await other.run(async () => "free")).toBe("free");
  });

  test("is free again whenever its folder disappears and returns while it is taken, held or released", async () => {
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

  test("is held by one at a time, and leaves nothing behind", async () => {
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

  test("is released when the work under it fails", async () => {
    const lock = await lockIn(await temporaryFolder());
    await expect(lock.run(async () => Promise.reject(new RangeError("no")))).rejects.toThrow("no");
    expect(await lock.run(async () => "again")).toBe("again");
  });

  test("that does not fit on the disk leaves no open file and nothing behind", async () => {
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
    expect(files.map(({ fd }) => fd)).toEqual(files.map(() => -1));
    expect(await readdir(join(folder, "tmp"))).toEqual([]);
  });

  test("names its holder and the way out when it does not become free", async () => {
    const folder = await temporaryFolder();
    await held(folder, { host: "id/other-machine", pid: 4242 });
    await expect((await lockIn(folder, hurriedClock())).run(async () => {})).rejects.toMatchObject({
      code: "bucket_locked",
      message: expect.stringMatching(/process 4242 on other-machine since 2026-01-01/),
      hint: expect.stringContaining("syncline unlock"),
    });
  });

  test("released and taken again whenever it is looked at is reported as locked", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, "lock");
    const disk: Disk = {
      ...systemDisk,
      link: async (from, to) => {
        await held(folder, {});
        await systemDisk.link(from, to).finally(() => systemDisk.unlink(path));
      },
    };
    const lock = await lockIn(folder, hurriedClock(), disk);
    await expect(lock.run(async () => {})).rejects.toMatchObject({ code: "bucket_locked" });
  });

  test("is waited for only as long as it is wanted", async () => {
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

  test("can be broken by hand, which names its holder", async () => {
    const folder = await temporaryFolder();
    await held(folder, { host: "id/other-machine", pid: 4242 });
    const lock = await lockIn(folder, hurriedClock());
    expect(await lock.break(false)).toBe("process 4242 on other-machine since 2026-01-01T00:00:00.000Z");
    expect(await lock.break(false)).toBeUndefined();
    expect(await lock.run(async () => "free")).toBe("free");
  });

  test("broken and taken by another is left to its new holder", async () => {
    const folder = await temporaryFolder();
    const [first, other] = [await lockIn(folder), await lockIn(folder)];
    await first.run(async () => {
      await other.break(true);
      await held(folder, { nonce: "cd".repeat(12) });
    });
    expect(JSON.parse(await readFile(join(folder, "lock"), "utf8"))).toMatchObject({ nonce: "cd".repeat(12) });
  });
});

describe("a lock that was lost", () => {
  test("stops its work, which starts again once the lock is free", async () => {
    const folder = await temporaryFolder();
    const lock = await lockIn(folder);
    const pid = await endedProcess();
    let begun = 0;
    let changed = 0;
    await lock.run(async (confirm) => {
      if (begun++ === 0) await held(folder, { pid, nonce: "cd".repeat(12) });
      await confirm();
      changed++;
    });
    expect({ begun, changed }).toEqual({ begun: 2, changed: 1 });
    expect(await readdir(folder)).toEqual(["tmp"]);
  });

  test("stays with its new holder, whom the error names if it is not released", async () => {
    const folder = await temporaryFolder();
    const lock = await lockIn(folder, hurriedClock());
    const lost = lock.run(async (confirm) => {
      await held(folder, { host: "id/other-machine", pid: 4242 });
      await confirm();
    });
    await expect(lost).rejects.toMatchObject({ code: "bucket_locked", message: expect.stringContaining("4242") });
    expect(await readdir(folder)).toContain("lock");
  });
});

describe("on a disk without hard links", () => {
  const link = () => Promise.reject(systemError("EPERM"));

  test("the lock is held by one at a time, and leaves nothing behind", async () => {
    const folder = await temporaryFolder();
    let inside = 0;
    let most = 0;
    const contender = async () => {
      const lock = await lockIn(folder, systemClock, { ...systemDisk, link });
      for (let round = 0; round < 5; round++) {
        await lock.run(async () => {
          most = Math.max(most, ++inside);
          await readFile(join(folder, "lock"));
          inside--;
        });
      }
    };
    await Promise.all(Array.from({ length: 8 }, contender));
    expect(most).toBe(1);
    expect(await readdir(folder)).toEqual(["tmp"]);
  });

  test("a process delayed between creating and writing the lock loses it to the one that took it over", async () => {
    const folder = await temporaryFolder();
    const [made, write, entered, leave, looked] = [1, 2, 3, 4, 5].map(() => Promise.withResolvers<void>()) as Five;
    let tries = 0;
    const slow: Disk = {
      ...systemDisk,
      link: () => {
        if (++tries > 1) looked.resolve();
        return link();
      },
      open: async (...where) => {
        const file = await systemDisk.open(...where);
        if (where[0] !== join(folder, "lock")) return file;
        const writeFile = file.writeFile.bind(file);
        file.writeFile = async (...what) => {
          made.resolve();
          await write.promise;
          await writeFile(...what);
        };
        return file;
      },
    };
    const inside: string[] = [];
    const first = (await lockIn(folder, systemClock, slow)).run(async () => {
      inside.push("first");
      looked.resolve();
    });
    await made.promise;
    const second = (await lockIn(folder, hurriedClock(), { ...systemDisk, link })).run(async () => {
      entered.resolve();
      await leave.promise;
      inside.push("second");
    });
    await entered.promise;
    write.resolve();
    await looked.promise;
    leave.resolve();
    await Promise.all([first, second]);
    expect(inside).toEqual(["second", "first"]);
  });

  test("taking over an empty lock leaves its creator time to notice", async () => {
    const folder = await temporaryFolder();
    const path = await held(folder, {});
    await writeFile(path, "");
    const steps: string[] = [];
    const disk: Disk = {
      ...systemDisk,
      link,
      rename: async (from, to) => {
        await systemDisk.rename(from, to);
        steps.push("taken over");
      },
    };
    const clock = hurriedClock();
    const sleep: Clock["sleep"] = async (ms) => {
      if (steps.at(-1) === "taken over") steps.push("waited");
      await clock.sleep(ms);
    };
    await (await lockIn(folder, { ...clock, sleep }, disk)).run(async () => void steps.push("work"));
    expect(steps).toEqual(["taken over", "waited", "work"]);
  });

  test("a process that cannot write its lock does not remove the lock that replaced it", async () => {
    const folder = await temporaryFolder();
    const disk: Disk = {
      ...systemDisk,
      link,
      open: async (...where) => {
        const file = await systemDisk.open(...where);
        if (where[0] !== join(folder, "lock")) return file;
        file.writeFile = async () => {
          await held(folder, { nonce: "cd".repeat(12) });
          throw systemError("ENOSPC");
        };
        return file;
      },
    };
    await expect((await lockIn(folder, systemClock, disk)).run(async () => {})).rejects.toMatchObject({
      code: "ENOSPC",
    });
    expect(await readFile(join(folder, "lock"), "utf8")).toContain("cd".repeat(12));
  });

  test("a lock and a takeover claim left empty by a power cut are both taken over", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "lock"), "");
    await writeFile(join(folder, "lock-takeover-unreadable"), "");
    const lock = await lockIn(folder, hurriedClock(), { ...systemDisk, link });
    expect(await lock.run(async () => "taken")).toBe("taken");
    expect(await readdir(folder)).toEqual(["tmp"]);
  });
});

describe("a dangling symbolic link in the lock's place", () => {
  test("is waited for like a lock, then reported", async () => {
    const folder = await temporaryFolder();
    await symlink("nothing", join(folder, "lock"));
    const lock = await lockIn(folder, hurriedClock());
    await expect(lock.run(async () => {})).rejects.toMatchObject({
      code: "store_failed",
      message: expect.stringContaining(join(folder, "lock")) as string,
      hint: expect.stringContaining("syncline unlock") as string,
    });
    expect(await readdir(join(folder, "tmp"))).toEqual([]);
  });

  test("is removed by breaking the lock", async () => {
    const folder = await temporaryFolder();
    await symlink("nothing", join(folder, "lock"));
    const lock = await lockIn(folder, hurriedClock());
    expect(await lock.break(false)).toBe("a dangling symbolic link to nothing");
    expect(await lock.run(async () => "free")).toBe("free");
  });
});

test.each(["link", "rename"] as const)(
  "a lock whose %s succeeded despite its error is held, then released",
  async (call) => {
    const folder = await temporaryFolder();
    if (call === "rename") await held(folder, { pid: await endedProcess() });
    const work = { link: systemDisk.link, rename: systemDisk.rename };
    const disk: Disk = { ...systemDisk };
    disk[call] = async (from, to) => {
      await work[call](from, to);
      throw systemError("EIO");
    };
    const lock = await lockIn(folder, hurriedClock(), disk);
    expect(await lock.run(async () => "held")).toBe("held");
    expect(await readdir(folder)).toEqual(["tmp"]);
  },
);

test("a lock whose link may have succeeded is removed once it can be read", async () => {
  const folder = await temporaryFolder();
  let isDeaf = false;
  const disk: Disk = {
    ...systemDisk,
    link: async (from, to) => {
      await systemDisk.link(from, to);
      isDeaf = true;
      throw systemError("EIO");
    },
    open: (...where) => (isDeaf && where[1] === "r" ? Promise.reject(systemError("EIO")) : systemDisk.open(...where)),
  };
  const lock = await lockIn(folder, hurriedClock(), disk);
  await expect(lock.run(async () => "held")).rejects.toMatchObject({ code: "EIO" });
  isDeaf = false;
  await lock.tidy();
  expect(await (await lockIn(folder, hurriedClock())).run(async () => "free")).toBe("free");
});

test("a lock whose link succeeded but reported EEXIST is held", async () => {
  const folder = await temporaryFolder();
  const link: Disk["link"] = async (from, to) => {
    await systemDisk.link(from, to);
    throw systemError("EEXIST");
  };
  const lock = await lockIn(folder, hurriedClock(), { ...systemDisk, link });
  expect(await lock.run(async () => "held")).toBe("held");
  expect(await readdir(folder)).toEqual(["tmp"]);
});

describe("a lock left behind", () => {
  test("by an ended process is taken over by one contender at a time", async () => {
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

  test("by a process whose id was reused is taken over", async () => {
    const folder = await temporaryFolder();
    await held(folder, { started: 1 });
    expect(await (await lockIn(folder, hurriedClock())).run(async () => "taken")).toBe("taken");
  });

  test("during an interrupted takeover is taken over", async () => {
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

  test("before this machine booted is taken over; one of a namesake on the network is not", async () => {
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
    ["a process on another machine", { host: "elsewhere/elsewhere", pid: 1 }],
    ["a process in another container", { namespace: "pid:[1]", pid: 999_999 }],
  ])("by %s is left alone", async (_, changes) => {
    const folder = await temporaryFolder();
    await held(folder, changes);
    await expect((await lockIn(folder, hurriedClock())).run(async () => {})).rejects.toMatchObject({
      code: "bucket_locked",
    });
  });
});

test("a lock is removed only once on release, since by then it may be another's", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "lock");
  let removals = 0;
  let tidying: Promise<void> | undefined;
  const disk: Disk = {
    ...systemDisk,
    unlink: async (which) => {
      if (which === path && removals++ === 0) {
        tidying = lock.tidy();
        // As long as tidying takes to see that the lock is there.
        for (let reads = 0; reads < 10; reads++) await readFile(path);
      }
      await systemDisk.unlink(which);
    },
  };
  const lock = await lockIn(folder, systemClock, disk);
  await lock.run(async () => {});
  await tidying;
  expect(removals).toBe(1);
});
