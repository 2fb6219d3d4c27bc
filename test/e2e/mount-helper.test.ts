/** `mount -t syncline` and fstab, through the script that mount(8) calls. It looks in /usr/sbin only. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const HELPER = "/usr/sbin/mount.syncline";

function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  return existsSync(HELPER) ? `there is a ${HELPER}` : undefined;
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(`mount(8)${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let space: Workspace;
  let url: string;

  beforeAll(() => {
    space = new Workspace("mount-helper");
    url = space.url("bucket");
    space.do("init", url);
    const umask = process.umask(0o077);
    space.do("service", "install-mount-helper");
    process.umask(umask);
  });
  afterAll(() => {
    space.do("service", "uninstall-mount-helper");
    space[Symbol.dispose]();
  });

  const run = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { env: space.env, encoding: "utf8" });
    return { status, out: stdout, err: stderr };
  };
  /** The options of the mount there, as the kernel has them; undefined if there is none. */
  const mounted = (path: string) =>
    readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .find(([, at]) => at === path)?.[3]
      ?.split(",");
  const agentsAt = (path: string) => space.json("status", path)["agents"];

  test("takes our options and its own, and returns once the mount is up; umount ends the agent", async () => {
    const path = space.mountPoint("own");
    const options = "rw,_netdev,noauto,user,nofail,x-systemd.automount,x-note=1,comment=a,cache-size=64MiB,owner=12:34";
    expect(run("mount", "-t", "syncline", url, path, "-o", options)).toEqual({ status: 0, out: "", err: "" });
    expect(mounted(path)).toEqual(expect.arrayContaining(["rw", "nosuid", "nodev", "noexec"]));
    writeFileSync(space.at("own", "script"), "#!/bin/sh\n", { mode: 0o755 });
    expect(run("stat", "-c", "%u:%g", space.at("own", "script")).out).toBe("12:34\n");
    expect(spawnSync(space.at("own", "script")).error).toMatchObject({ code: "EACCES" });
    expect(run("umount", path)).toEqual({ status: 0, out: "", err: "" });
    expect(mounted(path)).toBeUndefined();
    await expect.poll(() => space.run(["status", path]).status, { timeout: 20_000 }).not.toBe(0);
    expect(space.do("ls", url)).toContain("script");
  });

  test("may be run by everybody, whatever the umask was", () => {
    expect(statSync("/usr/sbin/mount.syncline").mode & 0o777).toBe(0o755);
  });

  test("mounts a line of fstab without HOME, as at boot, in a session of its own", () => {
    const path = space.mountPoint("from fstab");
    const fstab = space.at("fstab");
    const line = `${url} ${path.replaceAll(" ", String.raw`\040`)} syncline ro,nofail,_netdev,owner=me 0 0`;
    writeFileSync(fstab, `${line}\n`);
    expect(run("env", "-u", "HOME", "mount", "-T", fstab, path)).toEqual({ status: 0, out: "", err: "" });
    const [agent] = agentsAt(path) as { pid: number }[];
    expect(
      readFileSync(`/proc/${agent?.pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ")
        .slice(2, 4),
    ).toEqual([String(agent?.pid), String(agent?.pid)]);
    expect(() => writeFileSync(space.at("from fstab", "new"), "")).toThrow("EROFS");
    // It is mounted already, so -a does not mount it again.
    expect(run("mount", "-T", fstab, "-a")).toMatchObject({ status: 0, err: "" });
    expect(run("umount", path).status).toBe(0);
    expect(mounted(path.replaceAll(" ", String.raw`\040`))).toBeUndefined();
  });

  test("with -v says what it did, with -f does nothing", () => {
    const path = space.mountPoint("verbose");
    expect(run("mount", "-f", "-t", "syncline", url, path).status).toBe(0);
    expect(mounted(path)).toBeUndefined();
    expect(run("mount", "-v", "-t", "syncline", url, path).out).toContain(`Mounted ${url} at ${path}`);
    expect(run("umount", path).status).toBe(0);
  });

  test("exits with 1 for wrong usage and 32 for a failed mount, as documented", () => {
    const path = space.mountPoint("failing");
    const unknown = run("mount", "-t", "syncline", url, path, "-o", "cachesize=1GiB");
    expect(unknown).toMatchObject({ status: 1, err: expect.stringMatching(/"cachesize" is unknown[^]*cache-size/) });
    const missing = run("mount", "-t", "syncline", space.url("nowhere"), path);
    expect(missing).toMatchObject({ status: 32, err: expect.stringContaining("nowhere") });
    expect(mounted(path)).toBeUndefined();
  });

  test("stops working once the helper is removed; somebody else's file is kept", () => {
    space.do("service", "uninstall-mount-helper");
    expect(existsSync(HELPER)).toBe(false);
    expect(run("mount", "-t", "syncline", url, space.at()).status).toBe(32);
    writeFileSync(HELPER, "#!/bin/sh\n# mine\n");
    expect(space.run(["service", "install-mount-helper"]).status).toBe(4);
    expect(space.run(["service", "uninstall-mount-helper"]).status).toBe(4);
    expect(readFileSync(HELPER, "utf8")).toBe("#!/bin/sh\n# mine\n");
    rmSync(HELPER);
    space.do("service", "install-mount-helper");
  });
});
