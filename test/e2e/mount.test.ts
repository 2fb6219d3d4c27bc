/** Agents as people use them: real processes that mount, publish, wait and end, on Linux as root. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { nextTurn } from "../../src/base/concurrency.ts";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { collect, Workspace } from "../support/syncline.ts";
import { agentOf, killAgent, nicenessesOf, supervisorOf } from "../support/supervisor.ts";

const reason = whyNoMount();
const ROOT = /^bafyr4i[a-z2-7]{52}$/;
const text = (pattern: RegExp) => expect.stringMatching(pattern) as string;
const number = expect.any(Number) as number;

describe.skipIf(reason !== undefined)(`an agent${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let space: Workspace;
  let url: string;
  let dir: string;
  let count = 0;

  beforeAll(() => {
    space = new Workspace("mounts");
  });
  afterAll(() => space[Symbol.dispose]());

  /** A bucket and a mount point for each test. */
  beforeEach(() => {
    url = space.url(`bucket-${++count}`);
    space.do("init", url);
    dir = space.mountPoint(`mount-${count}`);
  });

  const file = (name: string) => join(dir, name);
  const bucketFolder = () => space.at(`bucket-${count}`);
  const failure = (...args: string[]) => {
    const { status, err } = space.run([...args, "--json"]);
    return { status, ...(JSON.parse(err) as { code: string; message: string; hint: string | null }) };
  };
  /** The entry of a mount in the list of mounts. */
  const factsOf = (mount: string) => {
    const states = readdirSync(space.at("state/syncline")).map((name) =>
      space.at("state/syncline", name, "agent.json"),
    );
    return states.find((path) => existsSync(path) && readFileSync(path, "utf8").includes(`"${mount}"`)) ?? "";
  };
  /** Mounts at `dir` that no agent serves, although changes may wait. */
  const stopped = () => {
    const { stopped: all = [] } = space.json("status") as { stopped?: { mount: string }[] };
    return all.filter(({ mount }) => mount === dir);
  };
  const ended = (pid: number) => eventually(async () => expect(existsSync(`/proc/${pid}`)).toBe(false));
  const mounted = () => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${dir} `);

  describe("at work", () => {
    test("mounts, publishes, reports its status, and unmounts", () => {
      const pid = space.mount(url, dir);
      writeFileSync(file("f"), "hello");
      expect(space.json("flush", dir)).toEqual({
        published: true,
        root: text(ROOT),
        version: number,
        attempts: number,
        conflicts: 0,
        pending: { files: 0, bytes: 0, oldestMs: 0, etaMs: null },
        error: null,
      });
      expect(space.do("cat", `${url}/f`)).toBe("hello");
      const status = space.status(dir);
      expect(status).toEqual({
        mount: dir,
        doors: [{ door: "mount", mount: dir }],
        bucket: url,
        pid,
        root: text(ROOT),
        base: status["root"],
        online: true,
        paused: null,
        lastError: null,
        pending: { files: 0, bytes: 0, oldestMs: 0, etaMs: null },
        lost: null,
        conflicts: [],
        guard: null,
        cache: { bytes: number, limit: 1 << 30 },
        pins: null,
        requests: null,
        costs: null,
        masters: null,
        collection: { running: false, last: null, error: null },
        published: {
          flushes: number,
          attempts: number,
          uploadedBytes: number,
          uploadedBlocks: number,
          requests: number,
          blocksRead: number,
        },
      });
      expect(space.lines("log", dir)).toEqual(space.lines("log", url));
      const unmounted = { drained: true, pending: { files: 0, bytes: 0, oldestMs: 0, etaMs: null }, error: null };
      expect(space.json("unmount", dir)).toEqual(unmounted);
      expect(mounted()).toBe(false);
      expect(readdirSync(dir)).toEqual([]);
    });

    test("keeps its state private to its user", () => {
      space.mount(url, dir);
      const states = space.at("state", "syncline");
      const folders = readdirSync(states).map((name) => join(states, name));
      const sockets = folders.map((folder) => join(folder, "control.sock")).filter((path) => existsSync(path));
      const modes = (paths: string[]) => new Set(paths.map((path) => statSync(path).mode & 0o777));
      expect(modes(folders)).toEqual(new Set([0o700]));
      expect(modes(sockets)).toEqual(new Set([0o600]));
      space.do("unmount", dir);
    });

    test("survives a restart with a state folder whose path is too long for a socket", () => {
      const state = space.at("x".repeat(150), `state-${count}`);
      mkdirSync(join(state, ".."), { recursive: true });
      space.mount(url, dir, "--state", state);
      writeFileSync(file("f"), "before");
      const { ino } = statSync(file("f"));
      space.do("unmount", dir, "--state", state);
      space.mount(url, dir, "--state", state);
      expect(readFileSync(file("f"), "utf8")).toBe("before");
      expect(statSync(file("f")).ino).toBe(ino);
      space.do("unmount", dir, "--state", state);
    });

    test("with --durability published, fsync waits for the bucket, and fails without it", () => {
      space.mount(url, dir, "--durability", "published");
      const fsynced = (name: string) =>
        spawnSync("python3", [
          "-c",
          `import os; f = open("${file(name)}", "w"); f.write("x"); f.flush(); os.fsync(f.fileno())`,
        ]);
      expect(fsynced("a").status).toBe(0);
      expect(space.do("cat", `${url}/a`)).toBe("x");
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      expect(String(fsynced("b").stderr)).toContain("Input/output error");
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      space.do("flush", dir);
      expect(space.do("cat", `${url}/b`)).toBe("x");
      space.do("unmount", dir);
    });

    test("read-only needs no key, refuses changes, and shows what others publish", async () => {
      space.do("put", writtenFile("first"), `${url}/first`);
      const env = { SYNCLINE_KEY: undefined, XDG_CONFIG_HOME: space.at("no-config") };
      expect(space.run(["mount", url, dir, "--background", "--read-only"], { env }).status).toBe(0);
      expect(existsSync(space.at("no-config"))).toBe(false);
      expect(readdirSync(dir)).toEqual(["first"]);
      expect(() => writeFileSync(file("x"), "")).toThrow(/EROFS/);
      space.do("put", writtenFile("second"), `${url}/second`);
      await eventually(async () => expect(readdirSync(dir)).toEqual(["first", "second"]));
      space.do("unmount", dir);
    });

    test("with --at shows an old state whatever is published or pending, and resumes normally afterwards", () => {
      space.mount(url, dir);
      writeFileSync(file("old"), "1");
      const { root } = space.json("flush", dir);
      writeFileSync(file("new"), "2");
      space.do("unmount", dir);
      space.mount(url, dir, "--at", String(root));
      expect(readdirSync(dir)).toEqual(["old"]);
      expect(() => writeFileSync(file("x"), "")).toThrow(/EROFS/);
      expect(space.json("flush", dir)).toMatchObject({ published: true, root });
      expect(readdirSync(dir)).toEqual(["old"]);
      space.do("unmount", dir);
      space.mount(url, dir);
      expect(readdirSync(dir)).toEqual(["new", "old"]);
      space.do("unmount", dir);
    });

    test("restore below a mount first publishes what is pending, and shows the old state when it returns", () => {
      space.mount(url, dir);
      mkdirSync(file("d"));
      writeFileSync(file("d/f"), "one");
      const { root } = space.json("flush", dir);
      writeFileSync(file("d/f"), "two");
      rmSync(file("d/f"));
      writeFileSync(file("d/f"), "three");
      writeFileSync(file("other"), "stays");
      space.do("restore", file("d"), "--at", String(root));
      expect(readFileSync(file("d/f"), "utf8")).toBe("one");
      expect(readdirSync(dir)).toEqual(["d", "other"]);
      const before = String(space.lines("log", url)[1]?.["root"]);
      expect(space.do("cat", `${url}/d/f`, "--at", before)).toBe("three");
      rmSync(file("d"), { recursive: true });
      space.do("restore", file("d/f"), "--at", String(root));
      expect(readFileSync(file("d/f"), "utf8")).toBe("one");
      space.do("unmount", dir);
    });
  });

  describe("next to other agents", () => {
    test("refuses a state that another agent uses, and a directory that is mounted or not empty", () => {
      space.mount(url, dir);
      expect(failure("mount", url, dir)).toMatchObject({ status: 4, code: "state_in_use" });
      expect(failure("mount", url, dir, "--background")).toMatchObject({ status: 4, code: "state_in_use" });
      const state = space.at(`second-state-${count}`);
      expect(failure("mount", url, dir, "--state", state)).toMatchObject({ status: 4, code: "mount_busy" });
      const full = space.at(`full-${count}`);
      mkdirSync(join(full, "inner"), { recursive: true });
      expect(failure("mount", url, full)).toMatchObject({ status: 4, code: "mount_not_empty" });
      expect(failure("mount", url, join(full, "missing"))).toMatchObject({ status: 1, code: "no_such_path" });
      expect(space.run(["status", dir]).status).toBe(0);
      space.do("unmount", dir);
    });

    test("answers for its own mount even if its directory had another bucket before", () => {
      const other = space.url(`other-${count}`);
      space.do("init", other);
      space.mount(other, dir);
      space.do("unmount", dir);
      space.mount(url, dir);
      writeFileSync(file("f"), "");
      expect(space.status(dir)["bucket"]).toBe(url);
      space.do("flush", dir);
      expect(space.lines("ls", url)).toHaveLength(1);
      expect(space.lines("log", dir)).toEqual(space.lines("log", url));
      space.do("unmount", dir);
    });

    test("starts over with a re-created bucket, unless something is unpublished", () => {
      space.mount(url, dir);
      writeFileSync(file("published"), "");
      space.do("unmount", dir);
      const remake = () => {
        rmSync(bucketFolder(), { recursive: true });
        space.do("init", url, "--accept");
      };
      remake();
      space.mount(url, dir);
      expect(readdirSync(dir)).toEqual([]);
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      writeFileSync(file("kept"), "kept");
      expect(space.run(["unmount", dir, "--drain", "0.1"]).status).toBe(3);
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      remake();
      space.mount(url, dir);
      expect(readFileSync(file("kept"), "utf8")).toBe("kept");
      expect(space.run(["flush", dir]).status).toBe(3);
      expect(space.status(dir)["lastError"]).toMatchObject({ code: "foreign_bucket" });
      expect(space.run(["unmount", dir]).status).toBe(3);
      expect(space.lines("ls", url)).toEqual([]);
    });
  });

  describe("of a bucket that was set back", () => {
    test("is refused without --accept; with unpublished changes it mounts, but does not publish", () => {
      space.mount(url, dir);
      writeFileSync(file("f"), "1");
      space.do("flush", dir);
      cpSync(bucketFolder(), `${bucketFolder()}-old`, { recursive: true });
      writeFileSync(file("f"), "2");
      space.do("unmount", dir);
      const [newest] = space.lines("log", url, "-n", "1");
      const setBack = () => {
        rmSync(bucketFolder(), { recursive: true });
        cpSync(`${bucketFolder()}-old`, bucketFolder(), { recursive: true });
      };
      setBack();
      expect(failure("mount", url, dir)).toMatchObject({ status: 4, code: "root_rolled_back", hint: text(/--accept/) });
      expect(failure("mount", url, dir, "--read-only")).toMatchObject({ status: 4, code: "root_rolled_back" });
      const { status, err } = space.run(["mount", url, dir, "--accept", "--background"]);
      const given = `The newer root ${String(newest?.["root"])} was shown here last. 1 name differs.`;
      expect([status, err]).toEqual([0, `Accepted an older state. ${given}\n`]);
      expect(readFileSync(file("f"), "utf8")).toBe("1");
      writeFileSync(file("f"), "3");
      space.do("flush", dir);
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      writeFileSync(file("kept"), "kept");
      expect(space.run(["unmount", dir, "--drain", "0.1"]).status).toBe(3);
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      setBack();
      space.mount(url, dir);
      expect(readFileSync(file("kept"), "utf8")).toBe("kept");
      expect(space.run(["flush", dir]).status).toBe(3);
      expect(space.status(dir)["lastError"]).toMatchObject({ code: "root_rolled_back" });
      expect(space.run(["unmount", dir]).out).toMatch(/only on this machine: .*Restore the newer data: /s);
      const again = space.run(["mount", url, dir, "--accept", "--background"]);
      expect([again.status, again.err]).toEqual([0, expect.stringMatching(/^Unpublished changes stay\. .*\n$/)]);
      expect(space.run(["unmount", dir]).status).toBe(3);
    });
  });

  describe("ends", () => {
    test("on a plain umount, once the last write is published", async () => {
      const pid = space.mount(url, dir);
      writeFileSync(file("last"), "last");
      execFileSync("umount", [dir]);
      await ended(pid);
      expect(space.do("cat", `${url}/last`)).toBe("last");
    });

    test.each(["SIGTERM", "SIGINT"] as const)(
      "on %s in the foreground: drains, says so, and exits with 0",
      async (signal) => {
        const agent = space.start(["mount", url, dir, "--json"]);
        const output = collect(agent);
        await once(agent.stdout ?? agent, "data");
        writeFileSync(file("last"), "last");
        agent.kill(signal);
        const { status, out, err } = await output;
        expect({ status, err }).toEqual({ status: 0, err: "" });
        const [mountedLine, unmountedLine] = out
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as unknown);
        expect(mountedLine).toEqual({ mount: dir, bucket: url, pid: agent.pid });
        expect(unmountedLine).toMatchObject({ unmounted: dir, drained: true });
        expect(space.do("cat", `${url}/last`)).toBe("last");
        expect(mounted()).toBe(false);
      },
    );

    test("on a signal right after mounting: no mount stays without its agent", async () => {
      const agent = space.start(["mount", url, dir, "--json"]);
      const output = collect(agent);
      while (!mounted() && agent.exitCode === null) await nextTurn();
      agent.kill("SIGTERM");
      expect((await output).status).toBe(0);
      expect(mounted()).toBe(false);
    });

    test("with 3 and a report of what remains while the bucket is away; a second signal ends the wait; the next mount publishes", async () => {
      const agent = space.start(["mount", url, dir, "--json", "--verbose"]);
      const output = collect(agent);
      const received = new Promise<void>((done) => {
        agent.stderr?.on("data", (text: Buffer) => text.includes("Received SIGTERM") && done());
      });
      await once(agent.stdout ?? agent, "data");
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      writeFileSync(file("kept"), "kept");
      agent.kill("SIGTERM");
      // If the process has not seen the first signal yet, the second one is lost.
      await received;
      await eventually(async () => expect(space.status(dir)["online"]).toBe(false));
      agent.kill("SIGTERM");
      const { status, out } = await output;
      expect(status).toBe(3);
      expect(JSON.parse(out.trimEnd().split("\n").at(-1) ?? "")).toMatchObject({
        drained: false,
        pending: { files: 1, bytes: 4 },
        error: { code: text(/^(no_such_bucket|store_unreachable|arbiter_unreachable)$/) },
      });
      expect(stopped()).toHaveLength(1);
      space.mount(url, dir);
      expect(readFileSync(file("kept"), "utf8")).toBe("kept");
      expect(space.status(dir)["pending"]).toMatchObject({ files: 1 });
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      space.do("flush", dir);
      expect(space.do("cat", `${url}/kept`)).toBe("kept");
      space.do("unmount", dir);
    });

    test("unmount --drain says how much is only on this machine, and status says so until the next mount", () => {
      space.mount(url, dir);
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      for (const name of ["a", "b", "c"]) writeFileSync(file(name), "x".repeat(1024));
      expect(space.run(["flush", dir]).out).toMatch(/^3 files, 3\.00 KiB are not published: /);
      const { status, out } = space.run(["unmount", dir, "--drain", "0"]);
      expect(status).toBe(3);
      expect(out).toMatch(
        /3 files, 3\.00 KiB are only on this machine: [^]*Mount the bucket at the same directory again to publish/,
      );
      expect(stopped()).toMatchObject([{ left: { files: 3, bytes: 3 * 1024, why: text(/./) } }]);
      expect(space.do("status")).toMatch(/pending +3 files, 3\.00 KiB are only on this machine: /);
      const other = space.url("other-bucket");
      space.do("init", other);
      expect(space.run(["mount", other, dir, "--background"]).err).toContain(
        `3 files changed here are not published. Mount their address here for that: ${url}\n`,
      );
      space.do("unmount", dir);
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      space.mount(url, dir);
      space.do("unmount", dir);
      expect(stopped()).toEqual([]);
      expect(space.lines("ls", url)).toHaveLength(3);
    });

    test("a plain umount waits for publishing as long as mount --drain says", async () => {
      const agent = space.start(["mount", url, dir, "--drain", "0.5"]);
      const output = collect(agent);
      await once(agent.stdout ?? agent, "data");
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      writeFileSync(file("kept"), "kept");
      execFileSync("umount", [dir]);
      const { status, out } = await output;
      expect(status).toBe(3);
      expect(out).toMatch(/Unmounted .*\. 1 file, 4 B is only on this machine: /);
      renameSync(`${bucketFolder()}-away`, bucketFolder());
    });

    test("unmount does not wait for a bucket that was set back", () => {
      space.mount(url, dir);
      writeFileSync(file("f"), "1");
      space.do("flush", dir);
      const old = readFileSync(join(bucketFolder(), "root"));
      writeFileSync(file("f"), "2");
      space.do("flush", dir);
      // A bucket that was set back does not tell any more where the blocks of the newer tree are.
      expect(readdirSync(dir)).toEqual(["f"]);
      expect(existsSync(file("g"))).toBe(false);
      writeFileSync(join(bucketFolder(), "root"), old);
      writeFileSync(file("g"), "3");
      expect(space.run(["flush", dir]).status).toBe(3);
      const began = performance.now();
      const { status, out } = space.run(["unmount", dir, "--drain", "30", "--json"]);
      expect(performance.now() - began).toBeLessThan(15_000);
      expect(status).toBe(3);
      expect(JSON.parse(out)).toMatchObject({ drained: false, error: { code: "root_rolled_back" } });
    });

    test("on a signal while a program has a file mapped, and keeps what the program stored there", async () => {
      const pid = space.mount(url, dir);
      // Pages with gaps between them are written one by one.
      const program = `
import mmap, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 16 << 20)
pages = mmap.mmap(file, 16 << 20)
for at in range(0, 16 << 20, 8192):
    pages[at:at + 6] = b"stored"
print("stored", flush=True)
time.sleep(600)`;
      const child = spawn("python3", ["-c", program, file("mapped")], { stdio: ["ignore", "pipe", "inherit"] });
      await once(child.stdout, "data");
      process.kill(pid, "SIGTERM");
      await ended(pid);
      child.kill("SIGKILL");
      const { bytes } = space.run(["cat", `${url}/mapped`]);
      const expected = Buffer.alloc(16 << 20);
      for (let at = 0; at < expected.length; at += 8_192) expected.write("stored", at);
      expect(bytes.equals(expected)).toBe(true);
    });

    test("unmount refuses while the mount is in use, and the mount goes on", () => {
      space.mount(url, dir);
      const open = openSync(file("open"), "w");
      expect(failure("unmount", dir)).toMatchObject({ status: 4, code: "mount_busy" });
      writeFileSync(open, "goes on");
      closeSync(open);
      space.do("unmount", dir);
      expect(space.do("cat", `${url}/open`)).toBe("goes on");
    });

    test("an attribute of a file says whether it is published, and is not copied with the file", async () => {
      const python = (code: string) => spawnSync("python3", ["-c", `import os\n${code}`], { encoding: "utf8" });
      const state = (path: string) =>
        python(`print(os.getxattr(${JSON.stringify(path)}, "user.syncline.state").decode())`);
      space.mount(url, dir);
      writeFileSync(file("f"), "1");
      space.do("flush", dir);
      expect([state(file("f")).stdout, state(dir).stdout]).toEqual(["published\n", "published\n"]);
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      writeFileSync(file("f"), "2");
      expect(space.run(["flush", dir]).status).toBe(3);
      const { code } = space.status(dir)["lastError"] as { code: string };
      expect(state(file("f")).stdout).toBe(`${code}\n`);
      expect(python(`print(os.listxattr(${JSON.stringify(file("f"))}))`).stdout).toBe("[]\n");
      const set = python(`os.setxattr(${JSON.stringify(file("f"))}, "user.syncline.state", b"published")`);
      expect(set.stderr).toContain("PermissionError");
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      space.do("unmount", dir);
    });

    test("--owner shows other owners, and does not change the stored ones", () => {
      space.mount(url, dir);
      writeFileSync(file("f"), "text");
      chownSync(file("f"), 1000, 100);
      space.do("unmount", dir);
      space.mount(url, dir, "--owner", "7:8");
      expect(statSync(file("f"))).toMatchObject({ uid: 7, gid: 8 });
      space.do("unmount", dir);
      writeFileSync(space.at("owners"), "uid 1000 1001\ngid 100 101\n");
      space.mount(url, dir, "--owner", `@${space.at("owners")}`);
      expect(statSync(file("f"))).toMatchObject({ uid: 1001, gid: 101 });
      writeFileSync(file("g"), "text");
      chownSync(file("g"), 1001, 101);
      space.do("unmount", dir);
      space.mount(url, dir);
      for (const name of ["f", "g"]) expect(statSync(file(name))).toMatchObject({ uid: 1000, gid: 100 });
      space.do("unmount", dir);
    });

    test.each(["on", "off"])(
      "a killed agent is replaced, with resends %s: programs wait, then continue",
      async (resend) => {
        space.env["SYNCLINE_FUSE_RESEND"] = resend;
        const pid = space.mount(url, dir);
        const isFast = nicenessesOf(pid).has(-10);
        const open = openSync(file("f"), "wx");
        writeSync(open, "before, ");
        process.kill(pid, "SIGKILL");
        await ended(pid);
        writeSync(open, "after");
        closeSync(open);
        expect(readFileSync(file("f"), "utf8")).toBe("before, after");
        const next = Number(space.status(dir)["pid"]);
        expect(next).not.toBe(pid);
        await expect.poll(() => nicenessesOf(next).has(-20)).toBe(false);
        expect(getPriority(next)).toBe(getPriority());
        expect(nicenessesOf(next).has(-10)).toBe(isFast);
        const session = `/proc/${next}/autogroup`;
        expect(existsSync(session) ? readFileSync(session, "utf8") : "nice 0").toMatch(/nice 0$/m);
        space.do("unmount", dir);
        expect(space.do("cat", `${url}/f`)).toBe("before, after");
      },
    );

    test("files opened before their agent was killed show what others append, and keep their version if others replace it, among 10,000 more changes", async () => {
      for (const name of ["log", "f", "held"]) space.do("put", writtenFile("old"), `${url}/${name}`);
      const pid = space.mount(url, dir);
      const open = ["log", "f"].map((name) => openSync(file(name), "r"));
      open.push(openSync(file("held"), "r+"));
      const shown = () =>
        open.map((each) => {
          const bytes = Buffer.alloc(10);
          return bytes.toString("utf8", 0, readSync(each, bytes, 0, bytes.length, 0));
        });
      expect(shown()).toEqual(["old", "old", "old"]);
      process.kill(pid, "SIGKILL");
      await ended(pid);
      space.do("pause", dir);
      mkdirSync(space.at("many"));
      for (let index = 0; index <= 10_000; index++) writeFileSync(space.at("many", String(index)), "");
      space.do("put", "--recursive", space.at("many"), `${url}/many`);
      space.do("put", writtenFile("old, new"), `${url}/log`);
      for (const name of ["f", "held"]) space.do("put", writtenFile("new"), `${url}/${name}`);
      space.do("resume", dir);
      await expect.poll(shown, { timeout: 10_000 }).toEqual(["old, new", "old", "old"]);
      const named = () => ["f", "held"].map((name) => readFileSync(file(name), "utf8"));
      expect(named()).toEqual(["new", "old"]);
      for (const each of open) closeSync(each);
      await expect.poll(named, { timeout: 10_000 }).toEqual(["new", "new"]);
      space.do("unmount", dir);
    });

    test("in the background, nothing that its caller has open stays open", () => {
      const held = openSync(space.at("held"), "w");
      const at = (index: number) => (index === 20 ? held : index < 3 ? "pipe" : "ignore");
      const stdio = Array.from({ length: 21 }, (_, index) => at(index));
      const { pid } = JSON.parse(space.run(["mount", url, dir, "--background", "--json"], { stdio }).out) as {
        pid: number;
      };
      closeSync(held);
      for (const each of [pid, supervisorOf(pid) ?? 0]) {
        const open = readdirSync(`/proc/${each}/fd`).map((name) => readlinkSync(`/proc/${each}/fd/${name}`));
        expect(open).not.toContain(space.at("held"));
      }
      space.do("unmount", dir);
    });

    test("in the background, a file of the command line may be one that its caller has open", () => {
      const [key, passphrase] = [space.at("key.json"), space.at("passphrase")];
      writeFileSync(passphrase, "correct horse\n");
      space.do("key", "new", "--key", key, "--passphrase-file", passphrase);
      space.do("init", space.url("own-bucket"), "--key", key, "--passphrase-file", passphrase);
      const open = openSync(passphrase, "r");
      const stdio = Array.from({ length: 21 }, (_, index) => (index === 20 ? open : index < 3 ? "pipe" : "ignore"));
      const key20 = ["--key", key, "--passphrase-file", "/dev/fd/20"];
      const { status, err } = space.run(["mount", space.url("own-bucket"), dir, "--background", ...key20], { stdio });
      closeSync(open);
      expect({ status, err }).toMatchObject({ status: 0 });
      space.do("unmount", dir);
    });

    test("a killed agent is replaced, even if it was started in the directory that it mounts", async () => {
      const started = space.run(["mount", url, ".", "--background", "--json"], { cwd: dir });
      const { pid } = JSON.parse(started.out) as { pid: number };
      // After a change from elsewhere, the kernel asks for the root's attributes when a program enters the mount.
      const base = space.status(dir)["base"];
      writeFileSync(space.at("theirs"), "theirs");
      space.do("put", space.at("theirs"), `${url}/theirs`);
      await expect.poll(() => space.status(dir)["base"]).not.toBe(base);
      const supervisor = supervisorOf(pid) ?? 0;
      process.kill(pid, "SIGKILL");
      await ended(pid);
      const next = () => readFileSync(`/proc/${supervisor}/task/${supervisor}/children`, "utf8").trim();
      await expect.poll(next).not.toBe("");
      await expect.poll(() => readFileSync(`/proc/${next()}/comm`, "utf8")).not.toBe("syncline-superv\n");
      expect(readFileSync(file("theirs"), "utf8")).toBe("theirs");
      space.do("unmount", dir);
    });

    test("open files stay the same files when an agent is replaced, although its command's words stand for others by then", async () => {
      const [before, after, config] = [
        space.at(`cwd-${count}`),
        space.at(`moved-${count}`),
        space.at("config/syncline"),
      ];
      mkdirSync(join(before, "mnt"), { recursive: true });
      const { out } = space.run(["mount", url, "mnt", "--background", "--json"], { cwd: before });
      let pid = (JSON.parse(out) as { pid: number }).pid;
      for (const name of ["first", "second"]) writeFileSync(join(before, "mnt", name), "");
      space.do("flush", join(before, "mnt"));
      const open = openSync(join(before, "mnt/second"), "w");
      const supervisor = supervisorOf(pid) ?? 0;
      const replaced = async (write: string) => {
        process.kill(pid, "SIGKILL");
        await ended(pid);
        writeSync(open, write);
        pid = agentOf(supervisor, pid);
      };
      renameSync(before, after);
      await replaced("moved");
      mkdirSync(config, { recursive: true });
      writeFileSync(join(config, "config.toml"), `state = "${space.at("other-states")}"\n`);
      await replaced(", configured");
      rmSync(config, { recursive: true });
      closeSync(open);
      const shown = (name: string) => readFileSync(join(after, "mnt", name), "utf8");
      expect([shown("first"), shown("second")]).toEqual(["", "moved, configured"]);
      process.kill(pid, "SIGTERM");
      await ended(pid);
      expect(space.do("cat", `${url}/second`)).toBe("moved, configured");
    });

    test("a killed agent is replaced, even if its state cannot be written, and the next one holds the state", async () => {
      const pid = space.mount(url, dir);
      const facts = factsOf(dir);
      // This keeps the agent from writing its entry in the list of mounts, as a full disk would.
      mkdirSync(`${facts}.tmp`);
      process.kill(pid, "SIGKILL");
      await ended(pid);
      writeFileSync(file("f"), "text");
      await expect.poll(() => readFileSync(facts.replace("agent.json", "agent.log"), "utf8")).toContain("agent.json");
      expect(failure("mount", url, dir, "--background")).toMatchObject({ code: "state_in_use" });
      rmSync(`${facts}.tmp`, { recursive: true });
      space.do("unmount", dir);
    });

    test("its log says that its supervisor was killed", async () => {
      const pid = space.mount(url, dir);
      const log = factsOf(dir).replace("agent.json", "agent.log");
      process.kill(supervisorOf(pid) ?? 0, "SIGKILL");
      await expect.poll(() => readFileSync(log, "utf8")).toContain("it ended with SIGKILL");
      space.do("unmount", dir);
      expect(readFileSync(log, "utf8").match(/no supervisor/g)).toHaveLength(1);
    });

    test("commands wait for the agent that replaces a killed one", async () => {
      let pid = space.mount(url, dir);
      for (const command of ["flush", "status", "unmount"]) {
        writeFileSync(file(command), "answered");
        process.kill(pid, "SIGKILL");
        await ended(pid);
        space.do(command, dir);
        if (command !== "unmount") pid = Number(space.status(dir)["pid"]);
      }
      expect(space.do("ls", url)).toMatch(/ flush$[^]* status$[^]* unmount$/m);
    });

    test("an agent killed with its supervisor loses nothing, and leaves a dead mount that the next mount cleans up", async () => {
      const pid = space.mount(url, dir);
      writeFileSync(file("f"), "answered");
      killAgent(pid);
      await ended(pid);
      expect(() => readdirSync(dir)).toThrow(/ENOTCONN/);
      const lost = failure("status", dir);
      expect(lost).toMatchObject({ status: 1, code: "no_agent" });
      expect(lost.hint).toContain(`mount ${url} ${dir}`);
      expect(space.json("status")["agents"]).toEqual([]);
      expect(stopped()).toEqual([{ mount: dir, bucket: url, state: text(/\/state\//) }]);
      expect(space.do("status")).toContain("changes may be waiting");
      const stop = spawnSync(join(import.meta.dirname, "../../scripts/stop"), [dir], { env: space.env });
      expect(stop.status).toBe(3);
      expect(stop.stderr.toString()).toContain(`scripts/start ${dir} ${url}`);
      space.mount(url, dir);
      expect(stopped()).toEqual([]);
      expect(readFileSync(file("f"), "utf8")).toBe("answered");
      space.do("unmount", dir);
      expect(stopped()).toEqual([]);
    });

    test("at a link to a directory, the next mount cleans up a dead one, and commands take either name", async () => {
      const link = space.at(`link-${count}`);
      symlinkSync(dir, link);
      const pid = space.mount(url, link);
      writeFileSync(join(link, "f"), "answered");
      killAgent(pid);
      await ended(pid);
      expect(() => readdirSync(link)).toThrow(/ENOTCONN/);
      space.mount(url, link);
      expect(readFileSync(file("f"), "utf8")).toBe("answered");
      for (const name of [link, dir]) expect(space.do("log", name)).toMatch(/bafyr4i/);
      space.do("unmount", link);
      expect(mounted()).toBe(false);
    });

    test("flush with nothing to publish reports a bucket that is out of reach", () => {
      space.mount(url, dir);
      space.do("flush", dir);
      renameSync(bucketFolder(), `${bucketFolder()}-away`);
      const { status, out } = space.run(["flush", dir, "--json"]);
      expect({ status, report: JSON.parse(out) as unknown }).toMatchObject({
        status: 6,
        report: { published: false, pending: { files: 0 }, error: { code: text(/unreachable$/) } },
      });
      expect(space.run(["flush", dir]).out).toMatch(/^Nothing is pending, but the bucket is unreachable: /);
      renameSync(`${bucketFolder()}-away`, bucketFolder());
      space.do("unmount", dir);
    });

    test("a sparse file from another machine counts only its data in du, cp and SEEK_HOLE, before anybody has read it", () => {
      space.do("mount", url, dir, "--background");
      for (const name of ["petabyte", "sparse"]) writeFileSync(file(name), "x");
      truncateSync(file("petabyte"), 2 ** 50);
      truncateSync(file("sparse"), 200 << 20);
      space.do("flush", dir);
      const [other, state] = [space.mountPoint("other-machine"), space.at("other-state")];
      space.do("mount", url, other, "--background", "--state", state);
      const used = (path: string) => Number(execFileSync("du", ["-k", path], { encoding: "utf8" }).split("\t")[0]);
      expect(used(join(other, "petabyte"))).toBeLessThan(1024);
      expect(used(join(other, "sparse"))).toBeLessThan(1024);
      execFileSync("cp", [join(other, "sparse"), space.at("copy")]);
      expect(used(space.at("copy"))).toBeLessThan(1024);
      execFileSync("cmp", [join(other, "sparse"), space.at("copy")]);
      const seek = `import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
hole = os.lseek(file, 0, os.SEEK_HOLE)
print(os.lseek(file, 0, os.SEEK_DATA), 0 < hole <= 65536, os.lseek(file, hole, os.SEEK_HOLE) == hole)`;
      const found = execFileSync("python3", ["-c", seek, join(other, "sparse")], { encoding: "utf8" });
      expect(found).toBe("0 True True\n");
      space.do("unmount", other, "--state", state);
      space.do("unmount", dir);
      rmSync(state, { recursive: true });
    });
  });

  /** A local file with its own name in it. */
  function writtenFile(name: string): string {
    writeFileSync(space.at(name), name);
    return space.at(name);
  }
});
