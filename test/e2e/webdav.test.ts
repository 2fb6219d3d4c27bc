/** Agents that serve WebDAV: real processes, alone and beside a mount. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { collect, Workspace } from "../support/syncline.ts";

const reason = whyNoMount();
let space: Workspace;
let url: string;
let count = 0;

beforeAll(() => {
  space = new Workspace("webdav");
});
afterAll(() => space[Symbol.dispose]());
beforeEach(() => {
  url = space.url(`bucket-${++count}`);
  space.do("init", url);
});

interface Serving {
  readonly agent: ChildProcess;
  readonly at: string;
}

/** Serves without passwords on a port that is free; answers once it does. */
async function serve(...more: string[]): Promise<Serving> {
  const agent = space.start(["webdav", url, "--listen", "127.0.0.1:0", "--no-auth", "--json", ...more]);
  const lines = createInterface({ input: agent.stdout as NodeJS.ReadableStream });
  const [line] = (await once(lines, "line")) as [string];
  return { agent, at: (JSON.parse(line) as { webdav: string }).webdav };
}

const put = async (at: string, body: string | Buffer) => (await fetch(at, { method: "PUT", body })).status;
const text = async (at: string) => (await fetch(at)).text();

test("without a mount: serves, publishes, loses nothing when killed, and ends cleanly on a signal", async () => {
  const first = await serve();
  expect(await put(`${first.at}notes.txt`, "one")).toBe(201);
  expect(await put(`${first.at}notes.txt`, "two")).toBe(204);
  expect(await text(`${first.at}notes.txt`)).toBe("two");
  expect(space.json("flush")).toMatchObject({ published: true });
  expect(space.do("cat", `${url}/notes.txt`)).toBe("two");
  const large = Buffer.alloc(3_000_000, 7);
  expect(await put(`${first.at}large`, large)).toBe(201);
  first.agent.kill("SIGKILL");
  await once(first.agent, "exit");

  const second = await serve();
  expect(Buffer.from(await (await fetch(`${second.at}large`)).arrayBuffer()).equals(large)).toBe(true);
  const { agents } = space.json("status") as { agents: Record<string, unknown>[] };
  expect(agents).toMatchObject([
    { mount: null, bucket: url, doors: [{ door: "webdav", url: second.at, fingerprint: null }], pid: second.agent.pid },
  ]);
  expect(await put(`${second.at}last`, "written last")).toBe(201);
  const ended = collect(second.agent);
  second.agent.kill("SIGTERM");
  expect((await ended).status).toBe(0);
  expect(space.do("cat", `${url}/last`)).toBe("written last");
});

test("a copy cut short by a kill leaves nothing behind once the door is open again", async () => {
  const many = space.at(`many-${count}`);
  mkdirSync(many);
  for (let file = 0; file < 2_000; file++) writeFileSync(join(many, `${file}`), `${file}`);
  space.do("put", "-r", many, `${url}/many`);
  const first = await serve();
  const died = once(first.agent, "exit");
  const kept = () => {
    const names = readdirSync(space.path, { recursive: true, encoding: "utf8" });
    const file = names.find((name) => name.endsWith("/webdav-unfinished.json"));
    const text = file === undefined ? '{"unfinished":[]}' : readFileSync(join(space.path, file), "utf8");
    return (JSON.parse(text) as { unfinished: unknown[] }).unfinished;
  };
  const headers = { destination: `${first.at}copy` };
  const copied = fetch(`${first.at}many/`, { method: "COPY", headers }).catch(() => undefined);
  await expect.poll(kept, { interval: 1 }).toHaveLength(1);
  first.agent.kill("SIGKILL");
  await Promise.all([died, copied]);

  const second = await serve();
  const shown = () => {
    space.do("flush");
    return space.do("ls", url).trim().split("\n");
  };
  await expect.poll(shown).toEqual([expect.stringContaining("many")]);
  const ended = once(second.agent, "exit");
  second.agent.kill("SIGTERM");
  await ended;
  // Nothing is left to be looked at.
  await serve();
  await expect.poll(kept).toEqual([]);
});

test("a password lets in its own name only, and nobody gets in without one", async () => {
  const refused = space.run(["webdav", url, "--listen", "127.0.0.1:0", "--json"]);
  expect(refused.status).toBe(2);
  expect(JSON.parse(refused.err)).toMatchObject({
    code: "usage",
    hint: expect.stringContaining("webdav password") as string,
  });
  const open = space.run(["webdav", url, "--listen", "0.0.0.0:0", "--no-auth", "--insecure", "--json"]);
  expect(open.status).toBe(2);

  const { password } = space.json("webdav", "password", "laptop") as { password: string };
  expect(space.run(["webdav", "password", "laptop"]).status).toBe(4);
  const agent = space.behind("webdav", url, "--listen", "127.0.0.1:0") as { webdav: string; pid: number };
  try {
    const status = async (authorization?: string, headers = {}) =>
      (await fetch(agent.webdav, { headers: authorization === undefined ? headers : { ...headers, authorization } }))
        .status;
    const basic = `Basic ${Buffer.from(`laptop:${password}`).toString("base64")}`;
    expect([await status(), await status("Basic eDp5"), await status(basic)]).toEqual([401, 401, 200]);
    expect(space.json("webdav", "password", "list")).toMatchObject({ passwords: [{ name: "laptop", digest: false }] });
    space.do("webdav", "password", "revoke", "laptop");
    expect(await status(basic)).toBe(401);
  } finally {
    expect(space.json("status", agent.webdav)).toMatchObject({ agents: [{ doors: [{ url: agent.webdav }] }] });
    // Also as people type it, and by the bucket's address.
    expect(space.json("status", new URL(agent.webdav).host)).toMatchObject({ agents: [{ pid: agent.pid }] });
    expect(space.json("flush", url)).toMatchObject({ published: true });
    expect(space.json("flush", agent.webdav.replace(/\/$/, ""))).toMatchObject({ published: true });
    expect(space.run(["flush", "http://127.0.0.1:1/"]).status).toBe(1);
    expect(space.json("unmount", agent.webdav)).toMatchObject({ drained: true });
  }
});

describe.skipIf(reason !== undefined)(`beside a mount${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test("what comes in through one door shows in the other, and both end together", async () => {
    const dir = space.mountPoint(`mount-${count}`);
    const { webdav: at, pid } = space.behind("mount", url, dir, "--webdav", "127.0.0.1:0", "--no-auth") as {
      webdav: string;
      pid: number;
    };
    const file = (name: string) => join(dir, name);
    const seen = (claim: () => void) => eventually(async () => claim());
    try {
      writeFileSync(file("mounted"), "from the mount");
      expect(await text(`${at}mounted`)).toBe("from the mount");

      // The kernel remembers that it is not there, what it lists, and what was in it.
      expect(() => readFileSync(file("web"))).toThrow(/ENOENT/);
      expect(readdirSync(dir)).toEqual(["mounted"]);
      expect(await put(`${at}web`, "from the web")).toBe(201);
      await seen(() => expect(readFileSync(file("web"), "utf8")).toBe("from the web"));
      await seen(() => expect(readdirSync(dir).toSorted()).toEqual(["mounted", "web"]));
      expect(await put(`${at}web`, "again, and longer")).toBe(204);
      await seen(() => expect(readFileSync(file("web"), "utf8")).toBe("again, and longer"));

      const moved = await fetch(`${at}web`, { method: "MOVE", headers: { destination: `${at}moved` } });
      expect(moved.status).toBe(201);
      await seen(() => expect(readdirSync(dir).toSorted()).toEqual(["mounted", "moved"]));

      // What a program has open stays until it closes it, whoever removed the name.
      const open = openSync(file("moved"), "r");
      expect((await fetch(`${at}moved`, { method: "DELETE" })).status).toBe(204);
      await seen(() => expect(() => readFileSync(file("moved"))).toThrow(/ENOENT/));
      const bytes = Buffer.alloc(100);
      expect(bytes.toString("utf8", 0, readSync(open, bytes, 0, 100, 0))).toBe("again, and longer");
      await seen(() => expect(fstatSync(open).nlink).toBe(0));
      closeSync(open);

      expect(space.status(dir)).toMatchObject({
        doors: [
          { door: "mount", mount: dir },
          { door: "webdav", url: at },
        ],
        pid,
      });
    } finally {
      expect(space.json("unmount", dir)).toMatchObject({ drained: true });
    }
    await expect(fetch(at)).rejects.toThrow(/fetch failed/);
    expect(space.do("cat", `${url}/mounted`)).toBe("from the mount");
  });

  test("a taken port leaves nothing mounted; a plain umount closes both doors and publishes the last write", async () => {
    const dir = space.mountPoint(`mount-${count}`);
    const { webdav: at } = space.behind("mount", url, dir, "--webdav", "127.0.0.1:0", "--no-auth") as {
      webdav: string;
    };
    const other = space.mountPoint(`other-${count}`);
    const taken = space.run(["mount", url, other, "--webdav", new URL(at).host, "--no-auth", "--background", "--json"]);
    expect(taken.status).toBe(1);
    expect(JSON.parse(taken.err)).toMatchObject({
      code: "cannot_listen",
      message: expect.stringContaining("EADDRINUSE") as string,
    });
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(` ${other} `);
    expect(await put(`${at}last`, "written last")).toBe(201);
    execFileSync("umount", [dir]);
    await expect.poll(() => space.run(["cat", `${url}/last`]).out, { timeout: 60_000 }).toBe("written last");
    await expect
      .poll(
        () =>
          fetch(at).then(
            ({ status }) => status,
            () => "closed",
          ),
        { timeout: 60_000 },
      )
      .toBe("closed");
  });
});
