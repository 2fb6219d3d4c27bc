/** A mount as the upper layer of an overlayfs, as containers use one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";
import { agentOf, supervisorOf } from "../support/supervisor.ts";

function whyNot(): string | undefined {
  const filesystems = process.platform === "linux" ? readFileSync("/proc/filesystems", "utf8") : "";
  return whyNoMount() ?? (filesystems.includes("\toverlay\n") ? undefined : "this kernel has no overlayfs");
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(`overlayfs${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let space: Workspace;

  beforeAll(() => {
    space = new Workspace("overlayfs");
  });
  afterAll(() => space[Symbol.dispose]());

  test("goes on, as do mounts on the mount's directories, when the agent is replaced", async () => {
    const [url, dir, merged] = [space.url("used"), space.mountPoint("used-mount"), space.mountPoint("used-merged")];
    space.do("init", url);
    const pid = space.mount(url, dir);
    const layers = { lowerdir: space.at("used-lower"), upperdir: join(dir, "upper"), workdir: join(dir, "work") };
    for (const folder of Object.values(layers)) mkdirSync(folder);
    mkdirSync(join(dir, "on/it"), { recursive: true });
    writeFileSync(join(dir, "other"), "beside");
    const options = Object.entries(layers).map((pair) => pair.join("="));
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", options.join(","), merged]);
    execFileSync("mount", ["-t", "tmpfs", "none", join(dir, "on/it")]);
    writeFileSync(join(dir, "on/it/held"), "in memory");
    mkdirSync(join(merged, "folder"));
    for (const name of ["file", "removed", "folder/inside"]) writeFileSync(join(merged, name), name);

    const supervisor = supervisorOf(pid) ?? 0;
    for (let agent = pid, round = 1; round <= 2; round++) {
      process.kill(agent, "SIGKILL");
      await expect.poll(() => agentOf(supervisor, agent)).not.toBe(agent);
      expect(readFileSync(join(dir, "other"), "utf8")).toBe("beside");
      agent = agentOf(supervisor, agent);
      // Meanwhile, the agent tells the kernel that names may have changed.
      space.do("flush", dir);
      expect(readFileSync(join(dir, "on/it/held"), "utf8")).toBe("in memory");
      expect(readFileSync(join(merged, "folder/inside"), "utf8")).toBe("folder/inside");
      writeFileSync(join(merged, "file"), ` ${round}`, { flag: "a" });
      renameSync(join(merged, "folder"), join(merged, "moved"));
      renameSync(join(merged, "moved"), join(merged, "folder"));
    }
    rmSync(join(merged, "removed"));
    expect(readdirSync(merged)).toEqual(["file", "folder"]);
    expect(readFileSync(join(layers.upperdir, "file"), "utf8")).toBe("file 1 2");
    execFileSync("umount", [merged]);
    execFileSync("umount", [join(dir, "on/it")]);
    expect(readdirSync(join(dir, "on/it"))).toEqual([]);
    space.do("unmount", dir);
  });

  test("keeps its upper layer, with whiteouts, in a mount, and finds it there when the bucket is mounted again", () => {
    const [url, dir, merged] = [space.url("bucket"), space.mountPoint("mount"), space.mountPoint("merged")];
    space.do("init", url);
    space.mount(url, dir);
    const layers = { lowerdir: space.at("lower"), upperdir: join(dir, "upper"), workdir: join(dir, "work") };
    for (const folder of Object.values(layers)) mkdirSync(folder);
    mkdirSync(join(layers.lowerdir, "folder"));
    for (const name of ["edited", "moved", "removed", "folder/inside"])
      writeFileSync(join(layers.lowerdir, name), name);
    const options = Object.entries(layers).map((pair) => pair.join("="));
    const begin = () => execFileSync("mount", ["-t", "overlay", "overlay", "-o", options.join(","), merged]);
    const end = () => execFileSync("umount", [merged]);

    begin();
    writeFileSync(join(merged, "edited"), " here", { flag: "a" });
    renameSync(join(merged, "moved"), join(merged, "elsewhere"));
    rmSync(join(merged, "removed"));
    rmSync(join(merged, "folder"), { recursive: true });
    mkdirSync(join(merged, "folder"));
    const look = () => {
      expect(readdirSync(merged)).toEqual(["edited", "elsewhere", "folder"]);
      expect(readdirSync(join(merged, "folder"))).toEqual([]);
      expect(readFileSync(join(merged, "edited"), "utf8")).toBe("edited here");
      expect(readFileSync(join(merged, "elsewhere"), "utf8")).toBe("moved");
    };
    look();
    for (const name of ["moved", "removed"]) {
      const { mode, rdev } = statSync(join(layers.upperdir, name));
      expect([mode, rdev]).toEqual([0o020000, 0]);
    }
    end();
    space.do("unmount", dir);

    space.mount(url, dir);
    begin();
    look();
    end();
    space.do("unmount", dir);
    expect(space.run(["verify", url]).status).toBe(0);
  });
});
