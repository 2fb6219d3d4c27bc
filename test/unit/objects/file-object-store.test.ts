import { mkdir, readdir, rename, rm, rmdir, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { type Disk, systemDisk } from "../../../src/objects/disk.ts";
import { FileObjectStore } from "../../../src/objects/file-object-store.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";
import { systemError, watchedDisk } from "../../support/watched-disk.ts";

async function opened() {
  const path = join(await temporaryFolder(), "bucket");
  const watched = watchedDisk();
  const store = openedAt(path, watched.disk);
  await store.initialize();
  return { path, watched, store };
}

function openedAt(path: string, disk = watchedDisk().disk): FileObjectStore {
  return new FileObjectStore({ path, address: `file://${path}`, clock: systemClock, random: systemRandom, disk });
}

/** Makes a file look 25 hours old. */
async function age(path: string): Promise<void> {
  const longAgo = Number(systemClock.nowNs() / 1_000_000_000n) - 25 * 3600;
  await utimes(path, longAgo, longAgo);
}

test("a put that exceeds its time limit ends and leaves nothing", async () => {
  const { path, store } = await opened();
  const endless = async function* () {
    for (;;) yield new Uint8Array(200_000);
  };
  await expect(store.putNew("pack/0", endless(), { timeoutMs: 20 })).rejects.toMatchObject({ code: "time_out" });
  expect(await store.head("pack/0")).toBeUndefined();
  expect(await readdir(join(path, "tmp"))).toEqual([]);
});

test("objects far larger than they may be, and such a lock, take no memory and stop nobody for long", async () => {
  const { path, store } = await opened();
  await store.putNew("root", [bytes("a")]);
  const { token = "" } = (await store.get("root")) ?? {};
  // Sparse, and more than can be read into memory.
  for (const name of ["root", "lock", "genesis"]) await writeFile(join(path, name), "");
  for (const name of ["root", "lock", "genesis"]) await truncate(join(path, name), 5_000_000_000);
  for (const name of ["root", "genesis"])
    await expect(store.get(name)).rejects.toMatchObject({ code: "format_invalid" });
  expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("refused");
  await store.delete("root");
  await store.putNew("root", [bytes("c")]);
  const read = await store.get("root");
  expect((await store.putIfMatch("root", [bytes("d")], read?.token ?? "")).kind).toBe("stored");
});

test("a bad sector damages what lies on it; a disk that is away damages nothing", async () => {
  const { path, watched, store } = await opened();
  await store.putNew("pack/0", [new Uint8Array(10_000)]);
  const disk: Disk = {
    ...watched.disk,
    open: async (where, flags) => {
      const file = await watched.disk.open(where, flags);
      if (String(where).endsWith("pack/0")) file.read = () => Promise.reject(systemError("EIO"));
      return file;
    },
  };
  const failing = openedAt(path, disk);
  const read = () => failing.getRanges("pack/0", [{ offset: 0, length: 100 }]);
  await expect(read()).rejects.toMatchObject({ code: "block_corrupt" });
  watched.before = (step, where) => {
    if (step === "open" && where.startsWith(join(path, "tmp"))) throw systemError("EIO");
  };
  await expect(read()).rejects.toMatchObject({ code: "store_failed" });
});

describe("a power cut", () => {
  test("leaves every acknowledged object whole", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("pack/0", [new Uint8Array(3_000_000)]);
    await store.putNew("root", [bytes("a")]);
    const token = (await store.get("root"))?.token ?? "";
    await store.putIfMatch("root", [bytes("b")], token);
    const objects = [join(path, "pack/0"), join(path, "root")];
    expect(objects.map((object) => watched.named().get(object))).toEqual([true, true]);
  });

  test("may lose objects stored with deferred durability, but only until they are settled", async () => {
    const { path, watched, store } = await opened();
    const syncs: string[] = [];
    watched.before = (step, at) => void (step === "sync folder" && syncs.push(at));
    for (let index = 0; index < 5; index++)
      await store.putNew(`pack/${index}`, [bytes("content")], { durable: "later" });
    expect(watched.named().get(join(path, "pack/3"))).toBe(false);
    syncs.length = 0;
    await store.settle();
    expect(watched.named().get(join(path, "pack/3"))).toBe(true);
    expect(syncs).toEqual([join(path, "pack")]);
  });

  test("cannot lose an object that two callers settle at once, once either call returns", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("pack/0", [bytes("content")], { durable: "later" });
    const first = store.settle();
    await store.settle();
    expect(watched.named().get(join(path, "pack/0"))).toBe(true);
    await first;
  });

  test("cannot undo a root that another process has read", async () => {
    const { path, watched, store } = await opened();
    // Another process swaps the root, and stops before it syncs the folder.
    await store.putNew("root", [bytes("a")], { durable: "later" });
    expect(watched.named().get(join(path, "root"))).toBe(false);
    await openedAt(path, watched.disk).get("root");
    expect(watched.named().get(join(path, "root"))).toBe(true);
  });

  test("cannot undo the root that the next writer reads, though its turn begins before the root is durable", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    const token = (await store.get("root"))?.token ?? "";
    using turn = await store.takeTurn();
    expect(turn).toBeDefined();
    const steps: string[] = [];
    watched.before = (step, at) => void steps.push(`${step} ${at.slice(path.length + 1).replace(/\/.*/, "")}`);
    await store.putNew("pack/0", [bytes("content")]);
    expect((await store.putIfMatch("root", [bytes("b")], "another")).kind).toBe("refused");
    expect(steps).not.toContain("unlink turns");
    steps.length = 0;
    await store.putIfMatch("root", [bytes("b")], token);
    const last = steps.filter((step) => ["rename root", "unlink turns", "sync folder "].includes(step));
    expect(last).toEqual(["rename root", "unlink turns", "sync folder "]);
    // The next one's own reading makes it durable, whatever becomes of us.
    const next = openedAt(path, watched.disk);
    steps.length = 0;
    await next.get("root");
    expect(steps).toContain("sync folder ");
  });

  test("between any two steps of a swap leaves the old root or the new one", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("root", [bytes("old")]);
    const token = (await store.get("root"))?.token ?? "";
    const seen = new Set<string>();
    const reader = openedAt(path);
    const states: Promise<unknown>[] = [];
    watched.before = () => void states.push(reader.get("root").then((root) => seen.add(text(root?.bytes))));
    await store.putIfMatch("root", [bytes("new")], token);
    await Promise.all(states);
    expect([...seen].every((content) => content === "old" || content === "new")).toBe(true);
  });
});

test("a swap that stalls at its rename does not undo what others publish once they break its lock", async () => {
  const { path, store } = await opened();
  await store.putNew("root", [bytes("old")]);
  const token = (await store.get("root"))?.token ?? "";
  const [reached, going] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const elsewhere: Partial<Disk> = {
    readFile: (async (at: string, how: "utf8") =>
      at === "/etc/machine-id" ? "another" : systemDisk.readFile(at, how)) as Disk["readFile"],
    rename: async (from, to) => {
      reached.resolve();
      await going.promise;
      await systemDisk.rename(from, to);
    },
  };
  const stalled = openedAt(path, { ...systemDisk, ...elsewhere }).putIfMatch("root", [bytes("late")], token);
  await reached.promise;
  expect(await store.breakLock(false)).toContain("process");
  expect((await store.putIfMatch("root", [bytes("new")], token)).kind).toBe("stored");
  going.resolve();
  expect((await stalled).kind).toBe("unknown");
  expect(text((await store.get("root"))?.bytes)).toBe("new");
  expect(await readdir(join(path, "tmp"))).toEqual([]);
});

describe("a swap that fails midway", () => {
  test("has an unknown outcome when the folder cannot be synced after the rename", async () => {
    const { watched, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    const token = (await store.get("root"))?.token ?? "";
    failOnce(watched, "sync folder", "EIO");
    expect(await store.putIfMatch("root", [bytes("b")], token)).toMatchObject({ kind: "unknown" });
    expect(text((await store.get("root"))?.bytes)).toBe("b");
  });

  test("has an unknown outcome when the rename itself fails with EIO", async () => {
    const { watched, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    const token = (await store.get("root"))?.token ?? "";
    failOnce(watched, "rename", "EIO");
    expect(await store.putIfMatch("root", [bytes("b")], token)).toMatchObject({ kind: "unknown" });
  });

  test.each(["write", "sync file", "link"] as const)(
    "is an error when it fails before the rename: %s",
    async (step) => {
      const { path, watched, store } = await opened();
      await store.putNew("root", [bytes("a")]);
      const token = (await store.get("root"))?.token ?? "";
      failOnce(watched, step, "EIO");
      await expect(store.putIfMatch("root", [bytes("b")], token)).rejects.toMatchObject({ code: "store_failed" });
      expect(text((await store.get("root"))?.bytes)).toBe("a");
      expect((await store.putIfMatch("root", [bytes("c")], token)).kind).toBe("stored");
      expect(await readdir(join(path, "tmp"))).toEqual([]);
    },
  );
});

describe("errors", () => {
  test("a full disk is disk_full, and leaves neither an object nor a temporary file", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("pack/0", [bytes("x")]);
    failOnce(watched, "write", "ENOSPC");
    const put = store.putNew("pack/1", [bytes("y")]);
    await expect(put).rejects.toMatchObject({ code: "disk_full", hint: expect.stringContaining("space") });
    expect(await store.head("pack/1")).toBeUndefined();
    expect(await readdir(join(path, "tmp"))).toEqual([]);
  });

  test("a read-only disk is store_failed with a hint, for writers only", async () => {
    const { watched, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    watched.before = (step) => {
      if (step !== "open" && step !== "sync folder") throw systemError("EROFS");
    };
    expect(text((await store.get("root"))?.bytes)).toBe("a");
    await expect(store.putNew("pack/0", [bytes("x")])).rejects.toMatchObject({
      code: "store_failed",
      hint: expect.stringContaining("read-write"),
    });
  });

  test("a folder that was renamed away is store_unreachable for every call, and is never recreated", async () => {
    const { path, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    const token = (await store.get("root"))?.token ?? "";
    await rename(path, `${path}.away`);
    const calls = [
      () => store.get("root"),
      () => store.head("root"),
      () => store.getRanges("pack/0", [{ offset: 0, length: 1 }]),
      () => store.getTail("pack/0", 1),
      () => store.putNew("pack/1", [bytes("x")]),
      () => store.putIfMatch("root", [bytes("b")], token),
      () => store.delete("pack/0"),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: "store_unreachable" });
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
    await rename(`${path}.away`, path);
    expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("stored");
  });

  test("a folder that never existed is empty, and reading does not create it", async () => {
    const path = join(await temporaryFolder(), "typo");
    const store = openedAt(path);
    expect(await store.get("root")).toBeUndefined();
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("a folder that holds other files is not taken for a bucket", async () => {
    const path = await temporaryFolder();
    await writeFile(join(path, "holiday.jpg"), "");
    await expect(openedAt(path).initialize()).rejects.toMatchObject({ code: "path_exists" });
  });

  test("an object that shrank is an error that names where it ends", async () => {
    const { path, store } = await opened();
    await store.putNew("pack/0", [bytes("0123456789")]);
    await writeFile(join(path, "pack/0"), "01234");
    await expect(store.getRanges("pack/0", [{ offset: 3, length: 4 }])).rejects.toMatchObject({
      code: "block_corrupt",
      message: expect.stringMatching(/pack\/0 ends at 5/),
    });
  });
});

describe("file systems and leftovers", () => {
  test("objects are created only once even without hard links", async () => {
    const { watched, store } = await opened();
    watched.before = (step) => {
      if (step === "link") throw systemError("EPERM");
    };
    const outcomes = await Promise.all([1, 2, 3].map((racer) => store.putNew("root", [bytes(`${racer}`)])));
    expect(outcomes.filter(({ kind }) => kind === "stored")).toHaveLength(1);
    const token = (await store.get("root"))?.token ?? "";
    expect((await store.putIfMatch("root", [bytes("next")], token)).kind).toBe("stored");
  });

  test.each(["EISDIR", "EPERM", "EACCES", "EINVAL", "ENOTSUP", "ENOSYS"])(
    "that cannot open or sync folders (%s) store and replace objects; other sync errors are reported",
    async (code) => {
      for (const refused of ["open", "sync"] as const) {
        const path = join(await temporaryFolder(), "bucket");
        const state = { code };
        const store = openedAt(path, withoutFolders(refused, state));
        await store.initialize();
        expect((await store.putNew("root", [bytes("a")])).kind).toBe("stored");
        expect((await store.putNew("pack/0", [bytes("x")], { durable: "later" })).kind).toBe("stored");
        await store.settle();
        const token = (await openedAt(path, withoutFolders(refused, state)).get("root"))?.token ?? "";
        expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("stored");
        expect(text((await store.get("root"))?.bytes)).toBe("b");
        state.code = "EIO";
        expect((await store.putNew("pack/1", [bytes("x")])).kind).toBe("unknown");
      }
    },
  );

  test.each(["EPERM", "EISDIR", "ENOTSUP"])("that fail a link with %s still create objects only once", async (code) => {
    const { watched, store } = await opened();
    watched.before = (step) => {
      if (step === "link") throw systemError(code);
    };
    expect((await store.putNew("root", [bytes("a")])).kind).toBe("stored");
    expect((await store.putNew("root", [bytes("b")])).kind).toBe("refused");
    const token = (await store.get("root"))?.token ?? "";
    expect((await store.putIfMatch("root", [bytes("next")], token)).kind).toBe("stored");
  });

  test("temporary files left by a crash are removed after a day; younger ones and other files stay", async () => {
    const { path } = await opened();
    await mkdir(join(path, "tmp"), { recursive: true });
    const [old, young] = ["123-00000000000000aa", "123-00000000000000bb"];
    for (const name of [old, young, "thesis.odt"]) await writeFile(join(path, "tmp", name), "");
    for (const name of [old, "thesis.odt"]) await age(join(path, "tmp", name));
    await openedAt(path).putNew("root", [bytes("a")]);
    expect(await readdir(join(path, "tmp"))).toEqual([young, "thesis.odt"]);
  });

  test("others' temporary files survive a client whose clock is a year ahead", async () => {
    const { path } = await opened();
    await mkdir(join(path, "tmp"), { recursive: true });
    await writeFile(join(path, "tmp", "123-00000000000000bb"), "");
    const clock: Clock = { ...systemClock, nowNs: () => systemClock.nowNs() + 365n * 86_400_000_000_000n };
    const ahead = new FileObjectStore({ path, address: `file://${path}`, clock, random: systemRandom });
    expect(await ahead.putNew("root", [bytes("a")])).toMatchObject({ kind: "stored" });
    expect(await readdir(join(path, "tmp"))).toEqual(["123-00000000000000bb"]);
  });

  test("a watcher is notified of a new root by the system", async () => {
    const { path, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    const heard = new Promise<void>((resolve) => {
      const watch = store.watch("root", () => {
        watch[Symbol.dispose]();
        resolve();
      });
    });
    await openedAt(path).putIfMatch("root", [bytes("b")], (await store.get("root"))?.token ?? "");
    await expect(heard).resolves.toBeUndefined();
  });
});

describe("a link in a shared folder, in place of the subfolder", () => {
  /** A bucket whose subfolder leads to somebody's old files. */
  const misled = async (folder: string) => {
    const { path, store } = await opened();
    await store.putNew("root", [bytes("a")]);
    const victim = await temporaryFolder();
    const files = ["thesis.odt", "ab".repeat(16), "123-00000000000000aa"];
    for (const name of files) await writeFile(join(victim, name), "");
    for (const name of files) await age(join(victim, name));
    await rm(join(path, folder), { recursive: true, force: true });
    await symlink(victim, join(path, folder));
    return { path, store: openedAt(path), left: async () => (await readdir(victim)).sort(), files: files.toSorted() };
  };
  const refused = (path: string, folder: string) => ({
    code: "store_failed",
    message: expect.stringContaining(`${join(path, folder)} is a symbolic link`),
  });

  test("tmp stops every put before it writes or removes a file there", async () => {
    const { path, store, left, files } = await misled("tmp");
    await expect(store.putNew("pack/0", [bytes("x")])).rejects.toMatchObject(refused(path, "tmp"));
    const token = (await store.get("root"))?.token ?? "";
    await expect(store.putIfMatch("root", [bytes("b")], token)).rejects.toMatchObject(refused(path, "tmp"));
    expect(await store.now()).toBeUndefined();
    expect(await left()).toEqual(files);
  });

  test.each(["commit", "pack", "run", "lease", "bases"])("%s is not listed, written to or emptied", async (folder) => {
    const { path, store, left, files } = await misled(folder);
    const list = async () => {
      for await (const { name } of store.list(`${folder}/`)) await store.delete(name);
    };
    await expect(list()).rejects.toMatchObject(refused(path, folder));
    await expect(store.putNew(`${folder}/0`, [bytes("x")])).rejects.toMatchObject(refused(path, folder));
    for (const file of files)
      await expect(store.delete(`${folder}/${file}`)).rejects.toMatchObject(refused(path, folder));
    expect(await left()).toEqual(files);
  });

  test("turns gives no turn and stops unlock, and nothing comes or goes there", async () => {
    const { path, store, left, files } = await misled("turns");
    await expect(store.takeTurn()).rejects.toMatchObject(refused(path, "turns"));
    await expect(store.breakLock(true)).rejects.toMatchObject(refused(path, "turns"));
    expect(await left()).toEqual(files);
  });
});

describe("what a put asks of the disk besides writing", () => {
  /** A disk that notes reads and dates, and the store on it, which has stored something before. */
  const noted = async () => {
    const { path } = await opened();
    const asked: string[] = [];
    const note = <Args extends unknown[], Result>(what: string, call: (...args: Args) => Result) => {
      return (...args: Args): Result => {
        const name = String(args[0]);
        // Not what is asked about this process, once.
        if (name.startsWith(path)) asked.push(`${what} ${name.slice(path.length + 1).replace(/^tmp.+/, "tmp/…")}`);
        return call(...args);
      };
    };
    const disk: Disk = {
      ...systemDisk,
      readNow: note("read", (_path: string) => undefined),
      stat: note("stat", systemDisk.stat as () => never),
      readdir: note("list", systemDisk.readdir as () => never),
    };
    const store = openedAt(path, disk);
    await store.putNew("root", [bytes("a")]);
    const token = (await store.get("root"))?.token ?? "";
    asked.length = 0;
    return { path, asked, store, token };
  };

  test("for a new object: nothing", async () => {
    const { asked, store } = await noted();
    await store.putNew("pack/0", [bytes("x")]);
    expect(asked).toEqual([]);
  });

  test("for a replacement: the object before and under the lock, and the lock before and after the rename", async () => {
    const { asked, store, token } = await noted();
    expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("stored");
    expect(asked).toEqual(["read root", "read root", "stat tmp/…", "read lock", "read lock"]);
  });

  test("for a replacement in one's own turn: the object only under the lock", async () => {
    const { asked, store, token } = await noted();
    const turn = await store.takeTurn();
    asked.length = 0;
    expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("stored");
    expect(asked).toEqual(["read root", "stat tmp/…", "read lock", "read lock"]);
    expect((await store.putIfMatch("root", [bytes("c")], token)).kind).toBe("refused");
    turn?.[Symbol.dispose]();
    turn?.[Symbol.dispose]();
    asked.length = 0;
    expect((await store.putIfMatch("root", [bytes("c")], token)).kind).toBe("refused");
    expect(asked).toEqual(["read root"]);
  });

  test("a put succeeds after the temporary folder was removed", async () => {
    const { path, store, token } = await noted();
    await rmdir(join(path, "tmp"));
    expect((await store.putNew("pack/0", [bytes("x")])).kind).toBe("stored");
    await rmdir(join(path, "tmp"));
    expect((await store.putIfMatch("root", [bytes("b")], token)).kind).toBe("stored");
  });
});

describe("a network file system that loses the answer to", () => {
  const lost = async (call: "link" | "rename", code: string) => {
    const { path, watched, store } = await opened();
    await store.putNew("root", [bytes("old")]);
    const work = { link: watched.disk.link, rename: watched.disk.rename };
    const forgetful: Disk = { ...watched.disk };
    forgetful[call] = async (from, to) => {
      await work[call](from, to);
      throw systemError(code);
    };
    return { path, watched, store, forgetful: openedAt(path, forgetful) };
  };

  test.each(["EEXIST", "EIO", "ETIMEDOUT", "ESTALE"])("a link (%s) has stored the object, durably", async (code) => {
    const { path, watched, store, forgetful } = await lost("link", code);
    expect(await forgetful.putNew("pack/0", [bytes("mine")])).toMatchObject({ kind: "stored" });
    expect(watched.named().get(join(path, "pack/0"))).toBe(true);
    expect(text((await store.get("pack/0"))?.bytes)).toBe("mine");
    expect(await readdir(join(path, "tmp"))).toEqual([]);
    expect(await forgetful.putNew("root", [bytes("other")])).toEqual({ kind: "refused" });
  });

  test("a link and then stops answering leaves the outcome unknown", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("pack/0", [bytes("x")]);
    const link: Disk["link"] = () => Promise.reject(systemError("EIO"));
    const deaf: Disk = { ...watched.disk, link, stat: (() => Promise.reject(systemError("EIO"))) as Disk["stat"] };
    const put = openedAt(path, deaf).putNew("pack/1", [bytes("y")]);
    expect(await put).toMatchObject({ kind: "unknown" });
  });

  test.each(["EEXIST", "EIO"])("the lock's link (%s) has taken the lock, and releases it", async (code) => {
    const { path, store, forgetful } = await lost("link", code);
    const token = (await store.get("root"))?.token ?? "";
    const put = await forgetful.putIfMatch("root", [bytes("new")], token);
    expect(put).toMatchObject({ kind: "stored" });
    expect(await readdir(path)).not.toContain("lock");
  });

  test.each(["ENOENT", "EIO"])("a rename (%s) has replaced the object", async (code) => {
    const { path, watched, store, forgetful } = await lost("rename", code);
    const token = (await store.get("root"))?.token ?? "";
    expect(await forgetful.putIfMatch("root", [bytes("new")], token)).toMatchObject({ kind: "stored" });
    expect(watched.named().get(join(path, "root"))).toBe(true);
    expect(text((await store.get("root"))?.bytes)).toBe("new");
  });

  test("a rename never acknowledges one whose source file was swept away", async () => {
    const { path, watched, store } = await opened();
    await store.putNew("root", [bytes("old")]);
    const swept: Disk["rename"] = async (from, to) => {
      await systemDisk.unlink(from);
      await systemDisk.rename(from, to);
    };
    const put = openedAt(path, { ...watched.disk, rename: swept });
    const token = (await store.get("root"))?.token ?? "";
    expect(await put.putIfMatch("root", [bytes("new")], token)).toMatchObject({ kind: "unknown" });
    expect(text((await store.get("root"))?.bytes)).toBe("old");
  });
});

/** A disk that opens no folders, or syncs none. */
function withoutFolders(refused: "open" | "sync", state: { readonly code: string }): Disk {
  const open: Disk["open"] = async (path, flags) => {
    const file = await systemDisk.open(path, flags);
    if (!(await file.stat()).isDirectory()) return file;
    if (refused === "open") {
      await file.close();
      throw systemError(state.code);
    }
    file.sync = () => Promise.reject(systemError(state.code));
    return file;
  };
  return { ...systemDisk, open };
}

function failOnce(watched: ReturnType<typeof watchedDisk>, step: string, code: string): void {
  watched.before = (at) => {
    if (at !== step) return;
    watched.before = () => {};
    throw systemError(code);
  };
}

function bytes(content: string): Uint8Array {
  return Buffer.from(content);
}

function text(content: Uint8Array | undefined): string {
  return Buffer.from(content ?? new Uint8Array()).toString();
}
