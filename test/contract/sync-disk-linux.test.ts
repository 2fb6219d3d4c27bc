/** What a disk on Linux reports of unusual directories: locked, mounted, or dead. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { nameFromText } from "../../src/base/names.ts";
import { failedWith } from "../../src/base/system-errors.ts";
import { loadBeneathAddon } from "../../src/sync/disk/addon.ts";
import { BeneathDisk } from "../../src/sync/disk/beneath-disk.ts";
import { PortableDisk } from "../../src/sync/disk/portable-disk.ts";
import { path } from "../support/sync-world.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const addon = loadBeneathAddon();
const DEAD_MOUNT = resolve(import.meta.dirname, "../support/dead-mount.py");
const FSCRYPT = resolve(import.meta.dirname, "../support/fscrypt.py");
const mounted: string[] = [];

afterAll(() => {
  for (const at of mounted.reverse()) run("umount", at);
});

function run(command: string, ...words: readonly string[]): void {
  execFileSync(command, words, { stdio: "pipe" });
}

/** A folder with a directory `private` that can be locked. Undefined: this machine cannot do that. */
async function encrypted(): Promise<string | undefined> {
  if (addon === undefined || process.geteuid?.() !== 0) return undefined;
  const folder = await temporaryFolder();
  const [image, at] = [join(folder, "image"), join(folder, "at")];
  mkdirSync(at);
  try {
    run("truncate", "--size", "16M", image);
    run("mkfs.ext4", "-q", "-O", "encrypt", image);
    run("mount", "-o", "loop", image, at);
    mounted.push(at);
    mkdirSync(join(at, "private"));
    run("python3", FSCRYPT, "encrypt", join(at, "private"));
    return at;
  } catch {
    return undefined;
  }
}

const folder = await encrypted();

/** A file that has more attributes than a bucket holds, in a folder. Undefined: this machine cannot do that. */
async function overloaded(): Promise<string | undefined> {
  if (addon === undefined || process.geteuid?.() !== 0) return undefined;
  const at = await temporaryFolder();
  try {
    run("mount", "-t", "tmpfs", "none", at);
    mounted.push(at);
    writeFileSync(join(at, "f"), "1");
    const disk = new BeneathDisk(addon, at, { allXattrs: false });
    await disk.open();
    for (const name of ["user.1", "user.2"])
      await disk.setXattrs(path("f"), new Map([...(await disk.xattrs(path("f"))), [name, Buffer.alloc(40_000)]]));
    disk.close();
    return at;
  } catch {
    return undefined;
  }
}

const many = await overloaded();

/** Two directories of a folder; the second one shows the first. Undefined: this machine cannot do that. */
async function mountedTwice(): Promise<string | undefined> {
  if (addon === undefined || process.geteuid?.() !== 0) return undefined;
  const at = await temporaryFolder();
  for (const each of ["one", "other"]) mkdirSync(join(at, each));
  try {
    run("mount", "--bind", join(at, "one"), join(at, "other"));
    mounted.push(join(at, "other"));
    return at;
  } catch {
    return undefined;
  }
}

const twice = await mountedTwice();

test.skipIf(addon === undefined)("errors name the path that cannot be read or made", async () => {
  if (addon === undefined) return;
  const at = await temporaryFolder();
  mkdirSync(join(at, "there/below"), { recursive: true });
  const disk = new BeneathDisk(addon, at, { allXattrs: false });
  await disk.open();
  try {
    await expect(disk.list(path("missing"))).rejects.toMatchObject({ path: join(at, "missing") });
    await expect(disk.makeDirectory(path("there/below"))).rejects.toMatchObject({ path: join(at, "there/below") });
    const taken = { name: nameFromText("below"), bytes: Buffer.alloc(0), mode: 0o644, owner: undefined, mtimeNs: 0n };
    await expect(disk.createAll?.(path("there"), [taken])).rejects.toMatchObject({ path: join(at, "there") });
  } finally {
    disk.close();
  }
});

test.skipIf(twice === undefined)(
  "a directory that is mounted from the same filesystem is told from others",
  async () => {
    if (addon === undefined || twice === undefined) return;
    const disk = new BeneathDisk(addon, twice, { allXattrs: false });
    await disk.open();
    try {
      writeFileSync(join(twice, "one", "f"), "text");
      const listed = await disk.list([]);
      const [one, other] = ["one", "other"].map((each) => listed.find(({ name }) => name === each)?.stat);
      expect([one?.isMounted, other?.isMounted]).toEqual([false, true]);
      expect([other?.type, other?.mode, other?.ino]).toEqual([one?.type, one?.mode, one?.ino]);
      expect(await disk.look(path("other"))).toEqual(other);
      expect((await disk.look(path("other/f")))?.isMounted).toBe(false);
    } finally {
      disk.close();
    }
  },
);

test.skipIf(folder === undefined)("an encrypted directory is listed while its key is there, else ENOKEY", async () => {
  if (addon === undefined || folder === undefined) return;
  const disk = new BeneathDisk(addon, folder, { allXattrs: false });
  await disk.open();
  const names = async () => (await disk.list(path("private"))).map(({ name }) => name).sort();
  const inside = join(folder, "private");
  try {
    mkdirSync(join(inside, "sub"));
    writeFileSync(join(inside, "tax"), "text");
    run("sync", "-f", inside);
    expect(await names()).toEqual(["sub", "tax"]);
    run("python3", FSCRYPT, "lock", inside);
    const failure = await names().catch((error: unknown) => error);
    expect([failure, failedWith(failure, "ENOKEY")]).toEqual([expect.any(Error), true]);
    run("python3", FSCRYPT, "unlock", inside);
    expect(await names()).toEqual(["sub", "tax"]);
  } finally {
    disk.close();
  }
});

/** A folder with a directory of which the system tells nothing. Undefined: this machine cannot do that. */
async function withDeadMount(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.geteuid?.() !== 0) return undefined;
  const at = await temporaryFolder();
  for (const each of ["dead", "d", "d/dead"]) mkdirSync(join(at, each));
  writeFileSync(join(at, "f"), "text");
  try {
    for (const each of ["dead", "d/dead"]) {
      run("python3", DEAD_MOUNT, join(at, each));
      mounted.push(join(at, each));
    }
    return at;
  } catch {
    return undefined;
  }
}

const withDead = await withDeadMount();

test.skipIf(withDead === undefined).each(["portable", "beneath"])(
  "a %s disk lists what the system tells nothing of, unless that is everything",
  async (kind) => {
    if (withDead === undefined || (kind === "beneath" && addon === undefined)) return;
    const isBeneath = kind === "beneath" && addon !== undefined;
    const disk = isBeneath ? new BeneathDisk(addon, withDead, { allXattrs: false }) : new PortableDisk(withDead);
    await disk.open();
    try {
      const types = (await disk.list([])).map(({ name, stat }) => [name, stat.type]).sort();
      expect(types).toEqual([
        ["d", "directory"],
        ["dead", "unknown"],
        ["f", "file"],
      ]);
      await expect(disk.list(path("d"))).rejects.toMatchObject({ code: "ENOTCONN" });
    } finally {
      disk.close();
    }
  },
);

test.skipIf(many === undefined)("more attributes than a bucket holds are E2BIG, and can be replaced", async () => {
  if (addon === undefined || many === undefined) return;
  const disk = new BeneathDisk(addon, many, { allXattrs: false });
  await disk.open();
  await expect(disk.xattrs(path("f"))).rejects.toMatchObject({ code: "E2BIG" });
  await disk.setXattrs(path("f"), new Map([["user.3", Buffer.from("3")]]));
  expect([...(await disk.xattrs(path("f"))).keys()]).toEqual(["user.3"]);
  disk.close();
});
