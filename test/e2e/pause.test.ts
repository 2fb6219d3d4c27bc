/** `pause` and `resume`: nothing is synced in between, work goes on, and nothing is lost. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { killAgent } from "../support/supervisor.ts";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("pause");
afterAll(() => space[Symbol.dispose]());
const soon = { timeout: 60_000, interval: 50 };

function stateOf(file: string): string {
  const script = "import os, sys; print(os.getxattr(sys.argv[1], 'user.syncline.state').decode())";
  return execFileSync("python3", ["-c", script, file], { encoding: "utf8" }).trim();
}

test(
  "a paused mount accepts changes and reads, syncs nothing, even after a kill, and syncs again on resume",
  { timeout: 200_000 },
  async () => {
    const [url, one, two] = [space.url("bucket"), space.mountPoint("one"), space.mountPoint("two")];
    space.do("init", url);
    space.mount(url, one);
    writeFileSync(`${one}/old`, "old");
    space.json("flush", one);
    let pid = space.mount(url, two);
    const rootBefore = space.status(two)["root"];

    expect(space.json("pause", two, "--for", "2h")).toMatchObject({ mount: two, until: expect.stringMatching(/Z$/) });
    expect(space.json("pause", two)).toMatchObject({ mount: two, until: null });
    writeFileSync(`${one}/theirs`, "theirs");
    space.json("flush", one);
    writeFileSync(`${two}/ours`, "ours");
    // Contents that are not here are still fetched for a program that reads them.
    expect(readFileSync(`${two}/old`, "utf8")).toBe("old");

    // Writes that wait for room at the limit fail because of the pause, too.
    await expect.poll(() => stateOf(`${two}/ours`), soon).toBe("paused");

    const flushed = space.run(["flush", two]);
    expect(flushed.status).toBe(3);
    expect(flushed.out + flushed.err).toMatch(
      /1 file, 4 B is not published: Syncing is paused\. \(paused\)\s+`syncline resume` ends the pause\./,
    );
    expect(space.run(["flush", two, "--json"]).out).toContain('"code":"paused"');

    killAgent(pid);
    await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
    pid = space.mount(url, two);
    expect(readdirSync(two).sort()).toEqual(["old", "ours"]);
    expect(readdirSync(one).sort()).toEqual(["old", "theirs"]);
    const status = space.status(two);
    expect(status).toMatchObject({
      paused: { until: null },
      pending: { files: 1 },
      root: null,
      online: true,
      lastError: null,
    });
    expect(status["base"]).toBe(rootBefore);
    expect(space.run(["status", two]).out).toMatch(/state +paused since /);

    expect(space.json("resume", two)).toEqual({ mount: two, wasPaused: true });
    expect(space.json("resume", two)).toEqual({ mount: two, wasPaused: false });
    await expect.poll(() => readdirSync(two).sort(), soon).toEqual(["old", "ours", "theirs"]);
    await expect.poll(() => readdirSync(one).sort(), soon).toEqual(["old", "ours", "theirs"]);
    expect(space.status(two)).toMatchObject({ paused: null, pending: { files: 0 } });
    expect(stateOf(`${two}/ours`)).toBe("published");
  },
);

test("an unmount while paused leaves the changes for the next mount, and says why", { timeout: 200_000 }, () => {
  const [url, dir] = [space.url("left"), space.mountPoint("leaves")];
  space.do("init", url);
  space.mount(url, dir);
  space.do("pause", dir);
  writeFileSync(`${dir}/f`, "f");
  const unmounted = space.run(["unmount", dir]);
  expect(unmounted.status).toBe(3);
  expect(unmounted.out + unmounted.err).toContain("Syncing is paused");
  space.mount(url, dir);
  space.do("resume", dir);
  expect(space.json("flush", dir)).toMatchObject({ published: true, error: null });
  expect(space.do("cat", `${url}/f`)).toBe("f");
  space.do("unmount", dir);
});

test("a pause of a mount with a synced folder beside it applies to both", { timeout: 200_000 }, async () => {
  const [url, dir, folder] = [space.url("both"), space.mountPoint("door"), space.at("beside")];
  mkdirSync(folder);
  space.do("init", url);
  space.mount(url, dir, "--sync", folder);
  space.do("pause", folder);
  writeFileSync(`${folder}/from folder`, "1");
  writeFileSync(`${dir}/from mount`, "2");
  const flushed = space.run(["flush", dir]);
  expect(flushed.status).toBe(3);
  expect(space.lines("ls", url)).toEqual([]);
  space.do("resume", dir);
  await expect.poll(() => readdirSync(dir).sort(), soon).toEqual(["from folder", "from mount"]);
  const shown = () => readdirSync(folder).filter((name) => name.startsWith("from "));
  await expect.poll(() => shown().sort(), soon).toEqual(["from folder", "from mount"]);
  space.do("unmount", dir);
});

test("a paused mount keeps a folder paused that comes beside it later", { timeout: 200_000 }, () => {
  const [url, dir, folder] = [space.url("later"), space.mountPoint("paused"), space.at("joins")];
  mkdirSync(folder);
  space.do("init", url);
  space.mount(url, dir);
  space.do("pause", dir);
  space.do("unmount", dir);
  space.mount(url, dir, "--sync", folder);
  writeFileSync(`${folder}/ours`, "ours");
  expect(space.status(dir)).toMatchObject({ paused: { until: null } });
  expect(space.run(["flush", dir]).status).toBe(3);
  expect(space.lines("ls", url)).toEqual([]);
  space.do("resume", dir);
  expect(space.json("flush", dir)).toMatchObject({ published: true });
  expect(space.lines("ls", url)).toHaveLength(1);
  space.do("unmount", dir);
});

test("a folder that was paused alone goes on beside a mount that is not paused", { timeout: 200_000 }, async () => {
  const [url, dir, folder] = [space.url("alone"), space.mountPoint("not-paused"), space.at("was-alone")];
  mkdirSync(folder);
  space.do("init", url);
  const alone = space.start(["sync", url, folder]);
  await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
  space.do("pause", folder);
  expect(space.run(["unmount", folder]).status).toBe(3);
  await expect.poll(() => alone.exitCode, soon).toBe(3);
  space.mount(url, dir, "--sync", folder);
  writeFileSync(`${folder}/ours`, "ours");
  expect(space.status(dir)).toMatchObject({ paused: null });
  expect(space.json("flush", dir)).toMatchObject({ published: true });
  expect(space.lines("ls", url)).toHaveLength(1);
  space.do("unmount", dir);
});

test(
  "a paused folder stays paused in its next agent, and syncs both ways on resume",
  { timeout: 200_000 },
  async () => {
    const [url, folder] = [space.url("synced"), space.at("synced-folder")];
    mkdirSync(folder);
    space.do("init", url);
    const first = space.start(["sync", url, folder]);
    await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
    expect(space.json("flush", folder)).toMatchObject({ published: true });
    space.do("pause", folder);
    writeFileSync(`${folder}/ours`, "ours");
    first.kill("SIGKILL");
    await expect.poll(() => first.signalCode, soon).toBe("SIGKILL");
    const source = space.at("theirs");
    writeFileSync(source, "theirs");
    space.do("put", source, `${url}/theirs`);
    space.start(["sync", url, folder]);
    await expect.poll(() => space.run(["status", folder, "--json"]).status, soon).toBe(0);
    expect(space.status(folder)).toMatchObject({ paused: { until: null } });
    expect(space.run(["flush", folder]).status).toBe(3);
    expect(space.lines("ls", url)).toHaveLength(1);
    expect(existsSync(`${folder}/theirs`)).toBe(false);
    space.do("resume", folder);
    await expect.poll(() => existsSync(`${folder}/theirs`), soon).toBe(true);
    await expect.poll(() => space.lines("ls", url).length, soon).toBe(2);
    expect(space.json("unmount", folder)).toMatchObject({ drained: true });
  },
);
