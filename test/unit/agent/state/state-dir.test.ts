import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  canonicalMount,
  canonicalPath,
  listMountStates,
  mountInState,
  mountStatePath,
  noteEnded,
  openCommandState,
  openMountState,
  otherStateRoots,
  rememberStateRoot,
  stateRoot,
  type StateDir,
  type StateFacts,
} from "../../../../src/agent/state/state-dir.ts";
import { configFolder } from "../../../../src/cli/config-file.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { compiledProcess } from "../../../support/compiled.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const NOTHING = { files: 0, bytes: 0, oldestMs: 0, etaMs: null };
const facts: StateFacts = { address: "file:///b", mount: "/m" };
let root: string;

beforeEach(async () => {
  root = join(await temporaryFolder(), "states");
});

/** Opened until the test's end. */
function open(some: Partial<StateFacts> = {}): StateDir {
  const state = openMountState(root, { ...facts, ...some });
  onTestFinished(() => state[Symbol.dispose]());
  return state;
}

describe("a mount's state", () => {
  test("has its own folder, for its owner only, whatever the umask", () => {
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    const { path } = open();
    expect(path).toBe(mountStatePath(root, facts));
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(root).mode & 0o777).toBe(0o700);
    expect(open({ mount: "/other" }).path).not.toBe(path);
    expect(open({ address: "file:///other" }).path).not.toBe(path);
    expect(open({ old: true }).path).not.toBe(path);
  });

  test("is the same with and without a pin in the address", () => {
    expect(mountStatePath(root, { ...facts, address: "file:///b#bafyr4i" })).toBe(mountStatePath(root, facts));
  });

  test("that other users can access is refused", () => {
    const path = mountStatePath(root, facts);
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o750);
    expect(() => open()).toThrow(expect.objectContaining({ code: "config_invalid", hint: `Run: chmod 700 ${path}` }));
    openMountState(root, facts, true)[Symbol.dispose]();
  });

  test("that cannot be created is refused with a hint", () => {
    writeFileSync(root, "a file");
    const refused = expect.objectContaining({
      code: "local_io_failed",
      hint: expect.stringContaining("--state") as string,
    }) as unknown;
    expect(() => open()).toThrow(refused as Error);
  });

  test("is held by one agent at a time, and free again once released", () => {
    const first = openMountState(root, facts);
    expect(() => open()).toThrow(expect.objectContaining({ code: "state_in_use" }));
    first[Symbol.dispose]();
    open();
  });

  test("is listed once mounted, the most recently used first; damaged and foreign ones are left out", () => {
    expect(listMountStates(root)).toEqual([]);
    open();
    expect(listMountStates(root)).toEqual([]);
    const [older, newer] = [open({ mount: "/older" }), open({ mount: "/newer" })];
    older.list(silentLog);
    newer.list(silentLog);
    utimesSync(join(older.path, "agent.json"), 1, 1);
    for (const [name, text] of [
      ["torn", `{"address":"file:`],
      ["foreign", `{"address":7}`],
    ] as const) {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, "agent.json"), text);
    }
    expect(listMountStates(root).map((state) => state.facts.mount)).toEqual(["/newer", "/older"]);
    expect(JSON.parse(readFileSync(join(newer.path, "agent.json"), "utf8"))).toMatchObject({ pid: process.pid });
    expect(statSync(join(newer.path, "agent.json")).mode & 0o777).toBe(0o600);
  });

  test("shows whether its last run ended before everything was published", () => {
    open({ mount: "/killed" }).list(silentLog);
    const ended = open({ mount: "/ended" });
    ended.list(silentLog);
    noteEnded(ended.path, { drained: true, pending: NOTHING, error: null }, silentLog);
    open({ mount: "/old", old: true }).list(silentLog);
    const left = listMountStates(root).filter((state) => state.facts.open === true);
    expect(left.map((state) => state.facts.mount)).toEqual(["/killed"]);
  });

  test("whose agent ended with unpublished changes says what was left, until it is used again", () => {
    const leftNow = () => listMountStates(root).map((state) => state.facts.left);
    const state = open({ mount: "/m" });
    state.list(silentLog);
    const pending = { files: 12, bytes: 40, oldestMs: 5, etaMs: null };
    const error = { code: "store_unreachable", message: "It is away.", hint: null } as const;
    noteEnded(state.path, { drained: false, pending, error }, silentLog);
    expect(leftNow()).toEqual([{ files: 12, bytes: 40, why: "It is away." }]);
    state.list(silentLog);
    expect(leftNow()).toEqual([undefined]);
  });

  test("that is listed stays so if its entry cannot be written; without one, listing fails", () => {
    const [listed, fresh] = [open({ mount: "/listed" }), open({ mount: "/new" })];
    listed.list(silentLog);
    noteEnded(listed.path, { drained: true, pending: NOTHING, error: null }, silentLog);
    for (const { path } of [listed, fresh]) mkdirSync(join(path, "agent.json.tmp"));
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (line: string) => void warnings.push(line) };
    listed.list(log);
    noteEnded(listed.path, { drained: false, pending: { ...NOTHING, files: 1 }, error: null }, log);
    expect(warnings).toHaveLength(2);
    expect(() => fresh.list(silentLog)).toThrow(/agent.json.tmp/);
    expect(listMountStates(root).map(({ facts }) => facts.mount)).toEqual(["/listed"]);
  });

  test("says on a full disk, too, that everything was published", () => {
    const state = open({ mount: "/m" });
    state.list(silentLog);
    const entry = join(state.path, "agent.json");
    const { size } = statSync(entry);
    mkdirSync(`${entry}.tmp`);
    noteEnded(state.path, { drained: true, pending: NOTHING, error: null }, silentLog);
    expect(listMountStates(root)).toMatchObject([{ facts: { mount: "/m", open: false } }]);
    expect(statSync(entry).size).toBe(size);
  });

  test("needs no space for its lock", () => {
    const { path } = open();
    expect(readdirSync(path)).toEqual(["lock"]);
    expect(statSync(join(path, "lock")).size).toBe(0);
  });

  test("left listed by an ended agent stays listed, and is listed once after another agent takes it over", () => {
    const before = openMountState(root, facts);
    before.list(silentLog);
    before[Symbol.dispose]();
    expect(listMountStates(root)).toHaveLength(1);
    open().list(silentLog);
    expect(listMountStates(root)).toHaveLength(1);
  });

  describe("held by another process", () => {
    let start: (...args: string[]) => ChildProcess;
    beforeAll(async () => {
      start = await compiledProcess("state-holder");
    });

    test("is in use, and free as soon as that process is killed", async () => {
      const holder = start(root, facts.address, facts.mount);
      expect(await once(holder, "message")).toContain("held");
      expect(() => open()).toThrow(expect.objectContaining({ code: "state_in_use" }));
      const second = start(root, facts.address, facts.mount);
      expect(await once(second, "message")).toContain("state_in_use");
      holder.kill("SIGKILL");
      await once(holder, "exit");
      open();
    });
  });
});

describe("a command's state", () => {
  test("takes the first free slot of its bucket, and is not listed as a mount", () => {
    const taken = [0, 1, 2].map(() => openCommandState(root, "file:///b"));
    const names = taken.map(({ path }) => path.slice(root.length).split("/").at(-1));
    expect(names).toEqual(["cli-0", "cli-1", "cli-2"]);
    expect(new Set(taken.map(({ path }) => join(path, ".."))).size).toBe(1);
    taken[1]?.[Symbol.dispose]();
    const again = openCommandState(root, "file:///b#bafyr4i");
    expect(again.path).toBe(taken[1]?.path);
    expect(statSync(again.path).mode & 0o777).toBe(0o700);
    expect(listMountStates(root)).toEqual([]);
    for (const state of [taken[0], taken[2], again]) state?.[Symbol.dispose]();
  });
});

describe("paths", () => {
  test("of states come from --state, then XDG_STATE_HOME, then the home directory", () => {
    expect(stateRoot({ XDG_STATE_HOME: "/x" }, "/given")).toBe("/given");
    expect(stateRoot({ XDG_STATE_HOME: "/x" })).toBe("/x/syncline");
    expect(stateRoot({})).toMatch(/\/\.local\/state\/syncline$/);
  });

  test.each(["", "states", "./states", "~/states"])("%j in XDG_STATE_HOME is ignored, as it is relative", (named) => {
    expect(stateRoot({ XDG_STATE_HOME: named })).toBe(stateRoot({}));
    expect(configFolder({ XDG_CONFIG_HOME: named })).toBe(configFolder({}));
  });

  test("of mounts are absolute, with links above the mount and in its place resolved, as in the kernel's table", async () => {
    const folder = await temporaryFolder();
    mkdirSync(join(folder, "real", "sub"), { recursive: true });
    symlinkSync(join(folder, "real"), join(folder, "link"));
    symlinkSync("sub", join(folder, "real", "mount"));
    symlinkSync("link/mount", join(folder, "again"));
    symlinkSync("/nowhere", join(folder, "dangling"));
    symlinkSync("loop", join(folder, "loop"));
    const real = realpathSync(folder);
    expect(canonicalMount(join(folder, "link", "mount"))).toBe(join(real, "real", "sub"));
    expect(canonicalMount(join(folder, "again"))).toBe(join(real, "real", "sub"));
    expect(canonicalMount(join(folder, "dangling"))).toBe("/nowhere");
    expect(canonicalMount(join(folder, "loop"))).toBe(join(real, "loop"));
    expect(canonicalMount(join(folder, "link", "gone", "file"))).toBe(join(real, "real", "gone", "file"));
    expect(canonicalMount("/")).toBe("/");
  });

  test("of files are absolute: links above the file are resolved, the file itself is not", async () => {
    const folder = await temporaryFolder();
    mkdirSync(join(folder, "real"));
    symlinkSync("real", join(folder, "link"));
    symlinkSync("real", join(folder, "real", "file"));
    expect(canonicalPath(join(folder, "link", "file"))).toBe(join(realpathSync(folder), "real", "file"));
  });
});

test("a state made for a mount point that is a link stays in use, with its pins, until it has no changes and there is another", async () => {
  const folder = realpathSync(await temporaryFolder());
  mkdirSync(join(folder, "real"));
  symlinkSync("real", join(folder, "link"));
  const { address } = facts;
  const link = join(folder, "link");
  const named = () => mountInState(root, { address }, link);
  expect(named()).toBe(join(folder, "real"));
  const state = open({ mount: link });
  state.list(silentLog);
  expect(named()).toBe(link);
  noteEnded(state.path, { drained: true, pending: NOTHING, error: null }, silentLog);
  expect(named()).toBe(link);
  open({ mount: join(folder, "real") });
  expect(named()).toBe(join(folder, "real"));
});

test("state folders named once are found later without being named, as long as they exist", async () => {
  const [home, other] = [await temporaryFolder(), await temporaryFolder()];
  const env = { XDG_STATE_HOME: home };
  expect(otherStateRoots(env)).toEqual([]);
  rememberStateRoot(env, stateRoot(env));
  rememberStateRoot(env, other);
  rememberStateRoot(env, other);
  rememberStateRoot(env, join(home, "gone"));
  expect(otherStateRoots(env)).toEqual([other]);
  writeFileSync(join(stateRoot(env), "other-states.json"), "{");
  expect(otherStateRoots(env)).toEqual([]);
});
