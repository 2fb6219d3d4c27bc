/** While a service's supervisor replaces an agent, commands wait for the next one, however the unit spells the mount point. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { nextAgentServes } from "../../../../src/cli/commands/next-agent.ts";
import { askServing } from "../../../../src/cli/commands/running-agents.ts";
import { supervisorPath } from "../../../../src/fuse/supervisor.ts";
import { whyNoAddon } from "../../../support/fuse-process.ts";
import { serveAnswers } from "../../../support/served-state.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

let space: string;

beforeEach(async () => {
  space = realpathSync(await temporaryFolder());
  for (const folder of ["data/mnt", "data/other", "state"]) mkdirSync(join(space, folder), { recursive: true });
  symlinkSync("data", join(space, "linked"));
  symlinkSync("data/mnt", join(space, "link"));
});

/** Starts the supervisor of a service in this folder; its agent never serves. */
async function startService(folder: string, words: readonly string[]): Promise<void> {
  const agent = ["/bin/sh", "-c", "exec sleep 1000"];
  const supervisor = spawn(supervisorPath(), ["--service", ...agent, ...words], { cwd: join(space, folder) });
  onTestFinished(async () => {
    supervisor.kill("SIGTERM");
    await once(supervisor, "exit");
  });
  await expect.poll(() => readFileSync(`/proc/${supervisor.pid}/comm`, "utf8")).toBe("syncline-superv\n");
}

/** A mount, and a clock by which its next agent serves once the caller has begun to wait for it. */
function replaced() {
  const [stateDir, mount] = [join(space, "state"), join(space, "data/mnt")];
  const sleep = () => serveAnswers(stateDir, { resume: async () => ({ wasPaused: true }) });
  return { state: { stateDir, mount }, clock: { ...systemClock, sleep } };
}

async function isAwaited(): Promise<boolean> {
  const { state, clock } = replaced();
  return nextAgentServes(state, clock);
}

describe.skipIf(whyNoAddon() !== undefined)("a service's mount that is written as", () => {
  test.each([
    ["an absolute path", ".", "$/data/mnt"],
    ["a path with a slash at its end", ".", "$/data/mnt/"],
    ["a relative path", "data", "mnt"],
    ["the folder that the service starts in", "data/mnt", "."],
    ["a path with a link in it", ".", "$/linked/mnt"],
    ["a link to the directory", ".", "link"],
  ])("%s is waited for", async (_, folder, word) => {
    await startService(folder, ["mount", "file:///b", word.replace("$", space)]);
    expect(await isAwaited()).toBe(true);
  });

  test("a call that the end of an agent cuts short is made again to the next one", async () => {
    await startService("data", ["mount", "file:///b", "mnt"]);
    const { state, clock } = replaced();
    const killed = createServer((socket) => {
      socket.destroy();
      killed.close();
    });
    await new Promise<void>((resolve) => killed.listen(join(state.stateDir, "control.sock"), resolve));
    const facts = { path: state.stateDir, address: "file:///b", open: true, own: true, synced: false, readOnly: false };
    const answer = await askServing<"resume">({ ...state, ...facts }, { call: "resume" }, { clock, ms: 60_000 });
    expect(answer).toEqual({ wasPaused: true });
  });

  test.each([
    ["in the folder above it", "data", "other"],
    ["in it", "data/mnt", "../other"],
  ])("another one is not waited for, also if the service starts %s", async (_, folder, word) => {
    await startService(folder, ["mount", "file:///b", word]);
    expect(await isAwaited()).toBe(false);
  });
});
