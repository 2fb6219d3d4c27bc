/** `mount --history`: earlier states in a hidden .history, as people and programs use it, on Linux as root. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();
const STATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe.skipIf(reason !== undefined)(`a .history${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let space: Workspace;
  let url: string;
  let dir: string;
  let count = 0;

  beforeAll(() => {
    space = new Workspace("history");
  });
  afterAll(() => space[Symbol.dispose]());

  beforeEach(() => {
    url = space.url(`bucket-${++count}`);
    space.do("init", url);
    dir = space.mountPoint(`mount-${count}`);
  });

  const file = (...names: string[]) => join(dir, ...names);
  const flush = () => space.do("flush", dir);
  const text = (...names: string[]) => readFileSync(file(...names), "utf8");
  /** The names of the states of a directory, oldest first. */
  const states = (...names: string[]) => readdirSync(file(...names, ".history")).filter((name) => STATE.test(name));
  const run = (program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: dir, encoding: "utf8" });
    return { status, out: stdout, err: stderr };
  };

  /** docs/notes.txt in two versions, docs/gone removed after that. */
  function edit(...options: string[]): number {
    const pid = space.mount(url, dir, "--history", ...options);
    mkdirSync(file("docs", "sub"), { recursive: true });
    writeFileSync(file("docs", "notes.txt"), "one");
    writeFileSync(file("docs", "gone"), "found again");
    writeFileSync(file("docs", "sub", "script"), "#!/bin/sh\necho as then\n", { mode: 0o755 });
    flush();
    writeFileSync(file("docs", "notes.txt"), "two, longer");
    flush();
    rmSync(file("docs", "gone"));
    flush();
    return pid;
  }

  test("shows earlier versions and deleted files, and cp brings them back", () => {
    edit();
    const deleted = readdirSync(file("docs", ".history")).filter((name) => name.startsWith("gone@"));
    expect(deleted).toHaveLength(1);
    expect(run("cp", "-a", `docs/.history/${deleted[0]}`, "docs/gone")).toEqual({ status: 0, out: "", err: "" });
    expect(text("docs", "gone")).toBe("found again");
    const [first = "", second = ""] = states("docs").filter((name) =>
      existsSync(file("docs", ".history", name, "gone")),
    );
    expect(text("docs", ".history", `notes.txt@${first}`)).toMatch(/^(|one)$/);
    expect(text("docs", ".history", `notes.txt@${second.slice(0, 4)}`)).toBe("two, longer");
    expect(run("cp", "-a", `docs/.history/${first.slice(0, 4)}/sub`, "restored")).toEqual({
      status: 0,
      out: "",
      err: "",
    });
    expect(run("restored/script")).toMatchObject({ status: 0, out: "as then\n" });
    expect(run(file("docs", ".history", "2999", "sub", "script"))).toMatchObject({ status: 0, out: "as then\n" });
    expect(statSync(file("restored", "script")).mtimeMs).toBe(statSync(file("docs", "sub", "script")).mtimeMs);
    const mapped =
      "import mmap,sys; f = open(sys.argv[1], 'rb'); print(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:9])";
    expect(run("python3", "-c", mapped, "docs/.history/2999/sub/script").out).toBe("b'#!/bin/sh'\n");
    expect(run("stat", "-f", "-c", "%s", "docs/.history/2999")).toEqual(run("stat", "-f", "-c", "%s", "docs"));
    space.do("unmount", dir);
  });

  test("grows with each publication, however often it was listed before", () => {
    edit();
    for (let round = 0; round < 3; round++) {
      const before = states("docs").length;
      expect(readdirSync(file("docs", ".history")).length).toBeGreaterThan(before);
      writeFileSync(file("docs", "notes.txt"), `round ${round}`);
      flush();
      expect(states("docs").length).toBeGreaterThan(before);
      expect(text("docs", ".history", "notes.txt@2999")).toBe(`round ${round}`);
    }
    const sub = states("docs", "sub").length;
    expect(sub).toBeLessThan(states("docs").length);
    space.do("unmount", dir);
  });

  test("is found by cd in every directory, and follows a rename", () => {
    edit();
    renameSync(file("docs"), file("papers"));
    flush();
    const shell = run(
      "sh",
      "-c",
      'cd papers/.history/2999/sub && pwd && cat script && cd "$OLDPWD" && ls papers/sub/.history | wc -l',
    );
    expect(shell).toMatchObject({ status: 0, err: "" });
    expect(shell.out).toContain(`${dir}/papers/.history/2999/sub\n#!/bin/sh`);
    expect(readdirSync(file(".history")).filter((name) => name.startsWith("docs@"))).toHaveLength(1);
    space.do("unmount", dir);
  });

  test("is not entered by find, tar and cp", () => {
    edit();
    readdirSync(file("docs", ".history"));
    expect(run("find", ".").out).not.toContain(".history");
    expect(run("tar", "cf", space.at("all.tar"), ".").status).toBe(0);
    expect(execFileSync("tar", ["tf", space.at("all.tar")], { encoding: "utf8" })).not.toContain(".history");
    cpSync(dir, space.at(`copy-${count}`), { recursive: true });
    expect(readdirSync(space.at(`copy-${count}`, "docs"))).toEqual(["notes.txt", "sub"]);
    rmSync(file("docs"), { recursive: true });
    expect(readdirSync(dir)).toEqual([]);
    space.do("unmount", dir);
  });

  test.skipIf(spawnSync("rsync", ["--version"]).status !== 0)("is not copied by rsync", () => {
    edit();
    expect(run("rsync", "-a", "--delete", `${dir}/`, space.at(`rsync-${count}`)).status).toBe(0);
    expect(readdirSync(space.at(`rsync-${count}`, "docs"))).toEqual(["notes.txt", "sub"]);
    space.do("unmount", dir);
  });

  test("cannot be changed or created; a real one is served as it is", () => {
    edit();
    const [state = ""] = states("docs");
    const old = file("docs", ".history", state);
    const newest = file("docs", ".history", states("docs").at(-1) ?? "");
    expect(() => writeFileSync(join(old, "new"), "")).toThrow(/EROFS/);
    expect(() => openSync(join(newest, "notes.txt"), constants.O_RDWR)).toThrow(/EROFS/);
    expect(() => writeFileSync(join(newest, "notes.txt"), "x")).toThrow(/EROFS/);
    expect(() => mkdirSync(file("docs", ".history", "d"))).toThrow(/EROFS/);
    expect(run("rm", "-r", old).err).toContain("Read-only file system");
    expect(() => renameSync(join(newest, "notes.txt"), file("stolen"))).toThrow(/EROFS/);
    expect(run("chmod", "600", join(newest, "notes.txt")).err).toContain("Read-only file system");
    expect(() => mkdirSync(file("docs", ".history"))).toThrow(/EEXIST/);
    expect(text("docs", "notes.txt")).toBe("two, longer");
    for (const name of ["no-such-time", "1999-01-01", "2026-02-30", "notes.txt@1999", "other@2999"])
      expect(() => statSync(file("docs", ".history", name))).toThrow(/ENOENT/);
    space.do("unmount", dir);
    space.mount(url, dir);
    expect(existsSync(file("docs", ".history"))).toBe(false);
    mkdirSync(file("docs", ".history"));
    writeFileSync(file("docs", ".history", "own"), "mine");
    space.do("unmount", dir);
    space.mount(url, dir, "--history");
    expect(readdirSync(file("docs"))).toContain(".history");
    expect(readdirSync(file("docs", ".history"))).toEqual(["own"]);
    writeFileSync(file("docs", ".history", "own"), "changed");
    rmSync(file("docs", ".history"), { recursive: true });
    expect(states("docs").length).toBeGreaterThan(0);
    space.do("unmount", dir);
  });

  test("survives a kill of the agent, with open old files and a working directory in it", async () => {
    writeFileSync(space.at("bytes"), Buffer.alloc(3 << 20, "0123456789"));
    const pid = edit();
    cpSync(space.at("bytes"), file("docs", "bytes"));
    flush();
    rmSync(file("docs", "bytes"));
    flush();
    const name = readdirSync(file("docs", ".history")).find((each) => each.startsWith("bytes@")) ?? "";
    const open = openSync(file("docs", ".history", name), "r");
    const inode = statSync(file("docs", ".history", "2999", "sub")).ino;
    const waiting = spawnSync("sh", [
      "-c",
      `cd "${file("docs", ".history", "2999", "sub")}" && kill -9 ${pid} && cat script && ls .. | grep notes.txt`,
    ]);
    expect(String(waiting.stdout)).toBe("#!/bin/sh\necho as then\nnotes.txt\n");
    await eventually(async () => expect(existsSync(`/proc/${pid}`)).toBe(false));
    const end = Buffer.alloc(10);
    expect(readSync(open, end, 0, 10, (3 << 20) - 8)).toBe(8);
    closeSync(open);
    expect(statSync(file("docs", ".history", "2999", "sub")).ino).toBe(inode);
    expect(space.status(dir)["pid"]).not.toBe(pid);
    writeFileSync(file("docs", "after"), "");
    flush();
    expect(existsSync(file("docs", ".history", states("docs").at(-1) ?? "", "after"))).toBe(true);
    space.do("unmount", dir);
  });

  test("gives EIO after the time-out while the bucket is unreachable, and works again once it is back", () => {
    edit();
    space.do("unmount", dir);
    // A state without cached blocks.
    const options = ["--state", space.at(`state-${count}`)];
    space.mount(url, dir, "--history", "--read-timeout", "1", ...options);
    renameSync(space.at(`bucket-${count}`), space.at("away"));
    expect(() => readdirSync(file("docs", ".history"))).toThrow(/EIO/);
    expect(() => statSync(file("docs", ".history", "2026-01-01"))).toThrow(/EIO/);
    expect(text("docs", "notes.txt")).toBe("two, longer");
    renameSync(space.at("away"), space.at(`bucket-${count}`));
    expect(states("docs").length).toBeGreaterThanOrEqual(3);
    space.do("unmount", dir, ...options);
  });

  test("of a mounted old state shows the states before it", () => {
    edit();
    const [first = "", second = ""] = states("docs").slice(-2);
    space.do("unmount", dir);
    space.mount(url, dir, "--history", "--at", second);
    expect(states("docs")).toContain(first);
    expect(states("docs").at(-1)).toBe(second);
    space.do("unmount", dir);
  });
});
