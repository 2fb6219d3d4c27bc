/** Agents that end by a defect, or while a client stays connected: the next agent goes on, and programs in the mount only wait. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { eventually, whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

/** A defect of the filesystem's thread: it throws once, when the file that CRASH_AT names is there. */
const CRASH = `
import { existsSync, rmSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
const at = process.env.CRASH_AT;
if (!isMainThread) setInterval(() => {
  if (!existsSync(at)) return;
  rmSync(at);
  throw new Error("a defect");
}, 20).unref();
`;

const reason = whyNoMount();

describe.skipIf(reason !== undefined)(`an agent${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let space: Workspace;
  let url: string;
  let dir: string;
  let count = 0;

  beforeAll(() => {
    space = new Workspace("dying-agents");
    writeFileSync(space.at("crash.mjs"), CRASH);
  });
  afterAll(() => space[Symbol.dispose]());

  beforeEach(() => {
    url = space.url(`bucket-${++count}`);
    space.do("init", url);
    dir = space.mountPoint(`mount-${count}`);
  });

  const file = (name: string) => join(dir, name);
  const ended = (pid: number) => eventually(async () => expect(existsSync(`/proc/${pid}`)).toBe(false));
  /** The file of this name in the state of the mount. */
  const stateFile = (name: string) => {
    const states = readdirSync(space.at("state/syncline")).map((state) => space.at("state/syncline", state));
    const isOurs = (state: string) => {
      const facts = join(state, "agent.json");
      return existsSync(facts) && readFileSync(facts, "utf8").includes(`"${dir}"`);
    };
    return join(states.find(isOurs) ?? "", name);
  };
  /** A client of the agent that stays connected, as one that is stopped (Ctrl-Z) does. */
  const connectForGood = async () => {
    const client = connect({ path: stateFile("control.sock"), allowHalfOpen: true });
    client.on("error", () => {});
    onTestFinished(() => void client.destroy());
    await once(client, "connect");
  };

  test("whose filesystem thread dies is replaced at once, although a client stays connected", async () => {
    Object.assign(space.env, { NODE_OPTIONS: `--import ${space.at("crash.mjs")}`, CRASH_AT: space.at("crash") });
    const pid = space.mount(url, dir);
    delete space.env["NODE_OPTIONS"];
    writeFileSync(file("f"), "before");
    await connectForGood();
    writeFileSync(space.at("crash"), "");
    await eventually(async () => expect(existsSync(space.at("crash"))).toBe(false));
    writeFileSync(file("g"), "after");
    expect(readFileSync(file("f"), "utf8")).toBe("before");
    await ended(pid);
    expect(space.status(dir)["pid"]).not.toBe(pid);
    const log = readFileSync(stateFile("agent.log"), "utf8");
    expect(log).toContain("a defect");
    expect(log).not.toContain("Another agent");
    space.do("unmount", dir);
    expect(space.do("ls", url)).toMatch(/ f$[^]* g$/m);
  });

  test("that takes over and cannot start ends, so that its supervisor can try again", () => {
    const ended = space.run(["mount", "nonsense", dir], { env: { SYNCLINE_HANDOFF: "first" } });
    expect(ended.status).toBe(2);
    expect(ended.err).toContain("is not a URL");
  });

  test.each([1, 2, 3])("publishes what is left if the mount is unmounted as it takes over (%i)", async () => {
    const pid = space.mount(url, dir);
    // The next agent has something to read first.
    writeFileSync(file("large"), Buffer.alloc(20_000_000, "x"));
    writeFileSync(file("f"), "before");
    process.kill(pid, "SIGKILL");
    expect(spawnSync("umount", [dir]).status).toBe(0);
    await eventually(async () => expect(space.do("ls", url)).toMatch(/ f$/m));
  });

  test("ends after an unmount, although a client stays connected", async () => {
    const pid = space.mount(url, dir);
    await connectForGood();
    space.do("unmount", dir);
    await ended(pid);
    expect(space.json("status")["agents"]).toEqual([]);
  });
});
