/** A bucket's folder that several users share: what one of them makes there, the others can use. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("shared-folder");
afterAll(() => space[Symbol.dispose]());
const isRoot = process.getuid?.() === 0;

function withUmask(umask: string, ...args: string[]): void {
  const script = `umask ${umask}; exec "$0" "$@"`;
  const command = ["-c", script, ...Workspace.command(...args)];
  const { status, stderr } = spawnSync("sh", command, { env: space.env, input: randomBytes(2e6) });
  expect(status, stderr.toString()).toBe(0);
}

/** Everything in a folder, with its facts. */
function inside(path: string) {
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return names.map((name) => ({ name, stat: lstatSync(join(path, name)) }));
}

test.skipIf(process.platform === "win32")(
  "a group's folder stays usable for the group, whatever a writer's umask",
  () => {
    const folder = space.at("team");
    mkdirSync(folder);
    chmodSync(folder, 0o2770);
    withUmask("077", "init", space.url("team"));
    withUmask("077", "put", "-", `${space.url("team")}/file`);
    for (const { name, stat } of inside(folder)) {
      const wanted = stat.isDirectory() ? 0o070 : 0o040;
      expect(stat.mode & wanted, name).toBe(wanted);
    }
  },
);

test.skipIf(!isRoot)("what root makes in another user's bucket belongs to that user", () => {
  const [folder, owner] = [space.at("own"), 65_534];
  mkdirSync(folder, { mode: 0o700 });
  chownSync(folder, owner, owner);
  space.do("init", space.url("own"));
  withUmask("022", "put", "-", `${space.url("own")}/file`);
  const found = inside(folder);
  expect(found.length).toBeGreaterThan(3);
  for (const { name, stat } of found) expect([stat.uid, stat.gid], name).toEqual([owner, owner]);
});

test.skipIf(!isRoot)("a closed folder named root above a bucket is not taken for a bucket's root", () => {
  const [other, user] = [space.at("disk"), 65_534];
  mkdirSync(join(other, "root"), { recursive: true, mode: 0o700 });
  chmodSync(other, 0o777);
  chmodSync(space.path, 0o755);
  const home = space.at("home");
  mkdirSync(home);
  chownSync(home, user, user);
  const env = { XDG_STATE_HOME: join(home, "state"), XDG_CONFIG_HOME: join(home, "config"), HOME: home };
  const asUser = (...args: string[]) => space.run(args, { uid: user, env });
  expect(asUser("init", space.url("disk/bucket"))).toMatchObject({ status: 0, err: "" });
  expect(asUser("ls", space.url("disk/bucket"))).toMatchObject({ status: 0 });
  expect(asUser("ls", space.url("disk/other/file")).err).toContain("There is no bucket at");
});

test.skipIf(!isRoot)("WebDAV and a service are offered to a user without a name", () => {
  const user = 61_234;
  const home = space.at("nameless");
  mkdirSync(home);
  chownSync(home, user, user);
  const env = { XDG_STATE_HOME: join(home, "state"), XDG_CONFIG_HOME: join(home, "config"), HOME: home };
  const url = space.url("nameless/bucket");
  expect(space.run(["init", url], { uid: user, env })).toMatchObject({ status: 0 });
  const served = space.run(["webdav", url, "--no-auth", "--listen", "127.0.0.1:0", "--background"], { uid: user, env });
  expect(served).toMatchObject({ status: 0 });
  expect(space.run(["unmount", url], { uid: user, env })).toMatchObject({ status: 0 });
  const unit = space.run(["service", "install", "x", "--dry-run", "--", "sync", url, home], { uid: user, env });
  expect(unit).toMatchObject({ status: 0 });
});
