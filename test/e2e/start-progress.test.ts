/** An agent that is slow to start reports its current step, in the foreground and to the command that waits for a background agent. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Workspace } from "../support/syncline.ts";

let space: Workspace;
let silent: Server;

beforeEach(async () => {
  space = new Workspace("start-progress");
  silent = createServer(() => {});
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
});
afterEach(() => {
  silent.close();
  space[Symbol.dispose]();
});

test.skipIf(process.platform !== "linux").each([["in the foreground"], ["in the background", "--background"]])(
  "%s a slow start reports its current step",
  { timeout: 60_000 },
  async (_, ...more) => {
    const address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/b`;
    const child = space.start(["webdav", address, "--listen", "127.0.0.1:0", "--no-auth", ...more]);
    try {
      let err = "";
      const said = new Promise<void>((resolve) => {
        child.stderr?.on("data", (piece) => {
          err += String(piece);
          if (/^start {2}.* {2}for \d+\.\d s$/m.test(err)) resolve();
        });
      });
      await Promise.race([said, once(child, "exit")]);
      expect(err).toMatch(/^start {2}opening the bucket {2}for \d+\.\d s$/m);
    } finally {
      // The one in the background is in a group of its own.
      for (const pid of childrenOf(child.pid)) process.kill(pid, "SIGKILL");
    }
  },
);

test.skipIf(process.platform !== "linux")(
  "an agent in the background ends its start when the command that waits for it is interrupted",
  { timeout: 60_000 },
  async () => {
    const address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/b`;
    const child = space.start(["webdav", address, "--listen", "127.0.0.1:0", "--no-auth", "--background"]);
    const agents = () => childrenOf(child.pid);
    await expect.poll(agents, { timeout: 20_000 }).toHaveLength(1);
    const [agent = 0] = agents();
    await once(silent, "connection");
    child.kill("SIGINT");
    await expect.poll(() => isRunning(agent), { timeout: 30_000 }).toBe(false);
  },
);

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function childrenOf(pid: number | undefined): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}
