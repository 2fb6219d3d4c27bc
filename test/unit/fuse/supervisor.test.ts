/** The supervisor of a mount, with scripts as agents and files as descriptors. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { supervisorPath } from "../../../src/fuse/supervisor.ts";
import { run, whyNoAddon } from "../../support/fuse-process.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const READY = "ready 45 128 0\n";
/** An agent that says that it serves, and dies. */
const BRIEF = 'echo ready 45 128 0 >&4; echo started >> "$0.starts"';

/** A supervisor that starts agents with this script, and the first agent's end of its lifeline. */
async function supervise(script: string, device: Writable | undefined = undefined) {
  const folder = await temporaryFolder();
  const [agent, abort] = [join(folder, "agent"), join(folder, "abort")];
  writeFileSync(agent, script);
  writeFileSync(abort, "");
  const nothing = openSync("/dev/null", "r");
  const supervisor: ChildProcess = spawn(supervisorPath(), [join(folder, "log"), folder, "/bin/sh", agent], {
    stdio: ["pipe", "ignore", "ignore", openSync(abort, "w"), device ?? nothing, nothing],
  });
  onTestFinished(() => void supervisor.kill("SIGKILL"));
  return {
    supervisor,
    lifeline: supervisor.stdin as Writable,
    aborted: () => readFileSync(abort, "utf8") === "1",
    /** Ends an agent that waits for this. */
    end: () => writeFileSync(`${agent}.end`, ""),
    place: () => readFileSync(`${agent}.place`, "utf8"),
    starts: () => readFileSync(`${agent}.starts`, "utf8").split("\n").length - 1,
  };
}

/** Waits until the test ends it, without a descriptor of the device. */
const WAIT_FOR_END = 'exec 3>&-; until [ -e "$0.end" ]; do sleep 0.05; done';

/** The limit on open files of the supervisor. */
async function limitFiles(pid: number, most: number): Promise<void> {
  await run("prlimit", ["--pid", String(pid), `--nofile=${most}:1024`]);
}

describe.skipIf(whyNoAddon() !== undefined)("a supervisor", () => {
  test("aborts the mount after many agents in a row die as soon as they serve", async () => {
    const { supervisor, lifeline, aborted, starts } = await supervise(BRIEF);
    lifeline.end(READY);
    const [status] = (await once(supervisor, "exit")) as [number];
    expect([status, aborted()]).toEqual([0, true]);
    expect(starts()).toBeGreaterThan(5);
  });

  test("tells later agents the mount's place, also after one that did not say it again", async () => {
    const { supervisor, lifeline, place } = await supervise(
      `printf %s "$SYNCLINE_PLACE" >> "$0.place"; [ -e "$0.starts" ] && echo done >&4; ${BRIEF}`,
    );
    const told = JSON.stringify({ mount: `/${"m".repeat(4_000)}` });
    lifeline.end(`place ${told}\n${READY}`);
    await once(supervisor, "exit");
    expect(place()).toBe(told + told);
  });

  test("lets go of the device when the mount has ended in order, although the agent still publishes", async () => {
    // It ends when nobody holds the device.
    const holder = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
    const { supervisor, lifeline, end } = await supervise(`${BRIEF}; echo done >&4; ${WAIT_FOR_END}`, holder.stdin);
    holder.stdin.destroy();
    lifeline.end(READY);
    await once(holder, "exit");
    expect(supervisor.exitCode).toBe(null);
    end();
    await once(supervisor, "exit");
  });

  test("replaces an agent that is stopped before it serves, while programs wait", async () => {
    const { supervisor, lifeline } = await supervise(
      'if [ -e "$0.starts" ]; then echo done >&4; else echo > "$0.starts"; kill -STOP $$; fi',
    );
    lifeline.end(READY);
    expect(await once(supervisor, "exit")).toEqual([0, null]);
  });

  test("tries again if it cannot start an agent for lack of resources", async () => {
    const { supervisor, lifeline, starts } = await supervise(`${BRIEF}; echo done >&4`);
    const pid = supervisor.pid ?? 0;
    const ended = once(supervisor, "exit");
    // All descriptors are in use, and starting an agent needs more.
    await limitFiles(pid, 6);
    lifeline.end(READY);
    await expect.poll(() => readFileSync(`/proc/${pid}/wchan`, "utf8")).toMatch(/nanosleep/);
    await limitFiles(pid, 1_024);
    await ended;
    expect(starts()).toBe(1);
  });
});
