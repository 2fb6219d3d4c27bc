/** POSIX access control lists of a mount, beside those of filesystems in the kernel. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount() ?? (hasProgram("setfacl") ? undefined : "setfacl is not installed");
const script = resolve(import.meta.dirname, "../support/acl-sequence.py");
const STEPS = 120;

describe.skipIf(reason !== undefined)(`access control lists${reason ? ` (skipped: ${reason})` : ""}`, () => {
  let space: Workspace;
  let url: string;
  let dir: string;

  beforeAll(() => {
    space = new Workspace("acl");
    url = space.url("bucket");
    space.do("init", url);
    dir = space.mountPoint("mount");
    space.mount(url, dir, "--acl");
  });
  afterAll(() => space[Symbol.dispose]());

  const within = (folder: string, ...command: string[]) => {
    const [program = "", ...args] = command;
    return execFileSync(program, args, { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28 });
  };
  const made = (parent: string, name: string) => {
    const path = join(parent, name);
    mkdirSync(path);
    return path;
  };
  const getfacl = (folder: string, path: string) => within(folder, "getfacl", "-n", path).trim().split("\n");
  /** Whether a user may read a file of the folder. Only root can walk the path to the folder. */
  const reads = (folder: string, path: string, uid: number) => {
    const calls = `os.setgroups([]); os.setgid(1); os.setuid(${uid}); sys.exit(not os.access("${path}", os.R_OK))`;
    return spawnSync("python3", ["-c", `import os, sys; ${calls}`], { cwd: folder }).status === 0;
  };

  describe.each(["tmpfs", ...(hasProgram("mkfs.ext4") ? ["ext4"] : [])])("random calls by five users", (oracle) => {
    let there: string;

    beforeAll(() => {
      there = space.mountPoint(oracle);
      mountOracle(space, oracle, there);
    });

    test.each([1, 2, 3])(`give the same answers and leave the same files as on ${oracle} (seed %i)`, (seed) => {
      const run = (parent: string) => {
        const folder = made(parent, `${oracle}-${seed}`);
        return within(folder, "python3", script, String(seed), String(STEPS)).split("\n");
      };
      const [ours, theirs] = [run(dir), run(there)];
      const first = theirs.findIndex((line, index) => line !== ours[index]);
      const call = theirs.slice(0, first + 1).findLast((line) => !line.startsWith(" "));
      expect({ call, line: ours[first] }).toEqual({ call, line: theirs[first] });
      expect(ours.filter((line) => line.includes("0200000001")).length).toBeGreaterThan(STEPS);
    });
  });

  test("a list set on one machine's mount is shown on another's", () => {
    writeFileSync(join(dir, "shared"), "x");
    within(dir, "setfacl", "-m", "u:61001:rw,g:62002:r", "shared");
    space.do("flush", dir);
    using machine = new Workspace("acl-other");
    const other = machine.mountPoint("mount");
    machine.mount(url, other, "--acl");
    expect(getfacl(other, "shared")).toEqual(getfacl(dir, "shared"));
    expect(getfacl(other, "shared")).toContain("user:61001:rw-");
    machine.do("unmount", other);
  });

  test("a list's mask gives the group no rights in a synced folder, nor in what get copies", async () => {
    const here = made(dir, "copied");
    for (const name of ["listed", "plain"]) writeFileSync(join(here, name), name);
    for (const name of ["listed", "plain"]) chmodSync(join(here, name), 0o640);
    within(here, "setfacl", "-m", "u:61001:rw,g::-", "listed");
    space.json("flush", dir);
    const [folder, copied] = [space.at("synced"), space.at("got")];
    mkdirSync(folder);
    space.json("sync", url, folder, "--once");
    space.do("get", "-r", `${url}/copied`, copied);
    for (const path of [join(folder, "copied"), copied])
      expect(["listed", "plain"].map((name) => statSync(join(path, name)).mode & 0o777)).toEqual([0o600, 0o640]);
    // New contents and other bits of the mode leave the list as it is.
    writeFileSync(join(folder, "copied/listed"), "changed");
    chmodSync(join(folder, "copied/listed"), 0o604);
    space.json("sync", url, folder, "--once");
    await eventually(async () => expect(readFileSync(join(here, "listed"), "utf8")).toBe("changed"));
    expect(getfacl(here, "listed")).toEqual(
      expect.arrayContaining(["user:61001:rw-", "group::---", "mask::rw-", "other::r--"]),
    );
  });

  test("another agent's change of a list is enforced here immediately", async () => {
    writeFileSync(join(dir, "changing"), "x");
    chmodSync(join(dir, "changing"), 0o600);
    within(dir, "setfacl", "-m", "u:61001:r", "changing");
    space.do("flush", dir);
    expect(reads(dir, "changing", 61001)).toBe(true);
    using machine = new Workspace("acl-changer");
    const other = machine.mountPoint("mount");
    machine.mount(url, other, "--acl");
    within(other, "setfacl", "-x", "u:61001", "changing");
    machine.do("flush", other);
    await eventually(async () => expect(reads(dir, "changing", 61001)).toBe(false));
    machine.do("unmount", other);
  });

  test("an owner map also applies to the users and groups in access control lists", async () => {
    using machine = new Workspace("acl-owners");
    writeFileSync(join(dir, "mapped"), "x");
    chmodSync(join(dir, "mapped"), 0o600);
    within(dir, "setfacl", "-m", "u:61001:rw,g:62001:r", "mapped");
    space.do("flush", dir);
    writeFileSync(machine.at("map"), "uid 61001 61011\ngid 62001 62011\n");
    const other = machine.mountPoint("mount");
    machine.mount(url, other, "--acl", "--owner", `@${machine.at("map")}`);
    expect(getfacl(other, "mapped")).toEqual(expect.arrayContaining(["user:61011:rw-", "group:62011:r--"]));
    expect([reads(other, "mapped", 61011), reads(other, "mapped", 61001)]).toEqual([true, false]);
    within(other, "setfacl", "-m", "u:61011:r", "mapped");
    machine.do("unmount", other);
    await eventually(async () => expect(getfacl(dir, "mapped")).toContain("user:61001:r--"));
  });
});

function hasProgram(name: string): boolean {
  return spawnSync(name, ["--version"], { stdio: "ignore" }).error === undefined;
}

function mountOracle(space: Workspace, type: string, path: string): void {
  if (type === "tmpfs") return void execFileSync("mount", ["-t", "tmpfs", "tmpfs", path]);
  const image = space.at("image");
  writeFileSync(image, "");
  truncateSync(image, 64 << 20);
  execFileSync("mkfs.ext4", ["-q", image]);
  execFileSync("mount", ["-o", "loop", image, path]);
}
