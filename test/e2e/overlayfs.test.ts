/** A mount as the upper layer of an overlayfs, as containers use one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

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
