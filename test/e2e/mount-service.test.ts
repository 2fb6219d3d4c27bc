/**
 * A mount as a systemd service, without systemd: the test runs the unit's command, and listens on the socket on which it tells
 * its service manager what happens (sd_notify(3)).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { getPriority } from "node:os";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { nicenessesOf, supervisorOf } from "../support/supervisor.ts";
import { collect, type Ended, Workspace } from "../support/syncline.ts";

/** Prints each message on one line. It is in Python, since Node.js has no Unix datagram sockets. */
const LISTENER = `
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print("listens", flush=True)
while True:
    print(listener.recv(4096).decode().replace("\\n", " "), flush=True)
`;

function whyNot(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "needs root on Linux";
  return existsSync("/dev/fuse") ? undefined : "there is no /dev/fuse";
}

/** Unpublished changes are published within this, also on a busy machine. */
const PATIENCE = { timeout: 30_000 };

class Service {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly told: string[] = [];
  readonly #listener: ChildProcess;

  private constructor(
    listener: ChildProcess,
    command: readonly string[],
    capabilities: string,
    env: NodeJS.ProcessEnv,
  ) {
    this.#listener = listener;
    // Runs as root, with no more capabilities than the unit has.
    this.process = spawn("setpriv", ["--no-new-privs", "--bounding-set", capabilities, ...command], { env });
    this.ended = collect(this.process);
  }

  /** Runs the command that `service install` writes into the unit of this mount. */
  static async start(space: Workspace, url: string, path: string, name = "notify", more: readonly string[] = []) {
    const unit = space.do("service", "install", "a", "--system", "--dry-run", "--", "mount", url, path, ...more);
    const [line = ""] = /^ExecStart=.*$/m.exec(unit) ?? [];
    const command = [...line.matchAll(/"([^"]*)"/g)].map(([, word = ""]) => word);
    const kept = [...unit.matchAll(/CAP_(\w+)/g)].map(([, capability = ""]) => `+${capability.toLowerCase()}`);
    const socket = space.at(name);
    const listener = spawn("python3", ["-c", LISTENER, socket], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: listener.stdout });
    await new Promise<void>((listens) => lines.once("line", () => listens()));
    const service = new Service(listener, command, ["-all", ...kept].join(","), {
      ...space.env,
      NOTIFY_SOCKET: socket,
    });
    lines.on("line", (told) => service.told.push(told));
    return service;
  }

  async hears(what: string): Promise<void> {
    await vi.waitFor(() => {
      if (!this.told.some((each) => each.includes(what))) throw new Error(`not told ${what}: ${this.told.join("; ")}`);
    }, PATIENCE);
  }

  [Symbol.dispose](): void {
    this.process.kill("SIGKILL");
    this.#listener.kill("SIGKILL");
  }
}

const reason = whyNot();
describe.skipIf(reason !== undefined)(
  `a mount as a service${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    let space: Workspace;
    let url: string;

    beforeAll(() => {
      space = new Workspace("mount-service");
      url = space.url("bucket");
      space.do("init", url);
    });
    afterAll(() => space[Symbol.dispose]());

    const isMounted = (path: string) => readFileSync("/proc/self/mounts", "utf8").includes(` ${path} fuse.syncline `);
    /** The agent that answers there, once one does. */
    const agentAt = (path: string) => vi.waitFor(() => Number(space.status(path)["pid"]), PATIENCE);

    test("says when it is up, replaces killed agents, and publishes everything before it ends", async () => {
      const path = space.mountPoint("kept");
      using service = await Service.start(space, url, path, "kept-notify");
      await service.hears("READY=1");
      expect(isMounted(path)).toBe(true);
      const first = await agentAt(path);
      const isFast = nicenessesOf(first).has(-10);
      expect(supervisorOf(first)).toBe(service.process.pid);
      // No agent can tell the manager anything.
      expect(readFileSync(`/proc/${first}/environ`, "utf8")).not.toContain("NOTIFY_SOCKET");
      writeFileSync(space.at("kept", "before"), "1");
      process.kill(first, "SIGKILL");
      writeFileSync(space.at("kept", "after"), "2");
      const second = await agentAt(path);
      expect(second).not.toBe(first);
      await expect.poll(() => nicenessesOf(second).has(-20)).toBe(false);
      expect(getPriority(second)).toBe(getPriority());
      expect(nicenessesOf(second).has(-10)).toBe(isFast);
      expect(supervisorOf(second)).toBe(service.process.pid);
      await service.hears("Starting the next one");
      process.kill(second, "SIGKILL");
      writeFileSync(space.at("kept", "at last"), "3");
      await agentAt(path);
      space.do("upgrade", path);
      service.process.kill("SIGTERM");
      await service.hears("STOPPING=1");
      expect(await service.ended).toMatchObject({ status: 0 });
      expect(isMounted(path)).toBe(false);
      expect(space.do("ls", url)).toMatch(/ after$[^]* at last$[^]* before$/m);
    });

    test("is up while WebDAV's address is in use, and opens WebDAV once it is free", async () => {
      const path = space.mountPoint("late");
      const other = createServer();
      await new Promise<void>((listens) => other.listen(0, "127.0.0.1", listens));
      const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
      using service = await Service.start(space, url, path, "late-notify", ["--webdav", address, "--no-auth"]);
      await service.hears("READY=1");
      writeFileSync(space.at("late", "late"), "1");
      other.close();
      const answers = () =>
        fetch(`http://${address}/late`).then(
          ({ ok }) => ok,
          () => false,
        );
      await expect.poll(answers, PATIENCE).toBe(true);
      service.process.kill("SIGTERM");
      expect(await service.ended).toMatchObject({ status: 0 });
    });

    test("stopped just after its agent was killed, it lets the next agent end in order", async () => {
      const path = space.mountPoint("stopped");
      using service = await Service.start(space, url, path, "stopped-notify");
      await service.hears("READY=1");
      writeFileSync(space.at("stopped", "pending"), "1");
      process.kill(await agentAt(path), "SIGKILL");
      await service.hears("Starting the next one");
      service.process.kill("SIGTERM");
      expect(await service.ended).toMatchObject({ status: 0 });
      expect(isMounted(path)).toBe(false);
      expect(space.do("ls", url)).toContain("pending");
    });

    test("ends with the agent's status when the mount is unmounted", async () => {
      const path = space.mountPoint("unmounted");
      using service = await Service.start(space, url, path, "unmounted-notify");
      await service.hears("READY=1");
      space.do("unmount", path);
      expect(await service.ended).toMatchObject({ status: 0 });
    });

    test("ends with the agent's status when it cannot start", async () => {
      const path = space.mountPoint("full");
      mkdirSync(space.at("full", "not empty"));
      using service = await Service.start(space, url, path, "full-notify");
      const { status, err } = await service.ended;
      expect([status, err]).toEqual([4, expect.stringContaining("not empty")]);
      expect(service.told).not.toContainEqual(expect.stringContaining("READY"));
    });
  },
);
