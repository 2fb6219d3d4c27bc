/** The master of scripts/start and scripts/stop. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { alice } from "../support/test-master.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const here = resolve(import.meta.dirname, "../..");
const PRELUDE = `set -eu; here=${here}
say() { printf '%s\\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }
. "$here/scripts/lib/local-master.sh"`;

test.skipIf(process.platform !== "linux")(
  "concurrent starts of the local master all find the one that runs",
  async () => {
    const folder = await temporaryFolder();
    const env = {
      ...process.env,
      XDG_DATA_HOME: join(folder, "data"),
      XDG_STATE_HOME: join(folder, "state"),
      XDG_CONFIG_HOME: join(folder, "config"),
      // Of a narrow terminal, from a shell that exports it: ps cuts its lines there.
      COLUMNS: "40",
    };
    const shell = async (line: string) => {
      const child = spawn("bash", ["-c", `${PRELUDE}\n${line}`], { env, stdio: ["ignore", "pipe", "ignore"] });
      return (await text(child.stdout)).trim();
    };
    const found = await Promise.all([1, 2, 3].map(() => shell(`start_master ${alice.wallet}; master_pid`)));
    const [pid] = found;
    expect(pid).toMatch(/^\d+$/);
    expect(found).toEqual([pid, pid, pid]);
    await shell("stop_master");
    expect(await shell("master_pid || echo none")).toBe("none");
  },
);

test.skipIf(process.platform !== "linux").each([
  ["another process", () => createServer()],
  ["another user's master", () => createHttpServer((_, response) => response.end("ok"))],
])("if %s holds the port, the start shows its own error and what to do", async (_, server) => {
  const folder = await temporaryFolder();
  const run = join(folder, "state", "syncline", "master");
  await using taken = await listening(server());
  mkdirSync(run, { recursive: true });
  writeFileSync(join(run, "port"), `${taken.port}\n`);
  writeFileSync(join(run, "log"), "what an earlier start said\n");
  const env = { ...process.env, XDG_DATA_HOME: join(folder, "data"), XDG_STATE_HOME: join(folder, "state") };
  const child = spawn("bash", ["-c", `${PRELUDE}\nstart_master ${alice.wallet}`], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said = await text(child.stderr);
  expect(said).toMatch(/EADDRINUSE/);
  expect(said).toMatch(
    new RegExp(`^error: the master did not start at http://127.0.0.1:${taken.port}\\. .*end what has it now`, "m"),
  );
  expect(said).not.toContain("earlier");
  expect(existsSync(join(run, "pid"))).toBe(false);
});

const AGENTS = [
  { bucket: "http://127.0.0.1:3600/a", mount: "/m", doors: [{ door: "mount", mount: "/m" }] },
  { bucket: "http://127.0.0.1:3600/b", mount: null, doors: [{ door: "sync", folder: "/f" }] },
  { bucket: "http://127.0.0.1:3600/c", mount: null, doors: [{ door: "webdav", url: "http://127.0.0.1:8888/" }] },
  { bucket: "file:///srv/bucket", mount: "/n", doors: [{ door: "mount", mount: "/n" }] },
];

test.skipIf(process.platform !== "linux").each([
  [[], 0, "Stopped the master"],
  [AGENTS.slice(3), 0, "Stopped the master"],
  [AGENTS, 0, "goes on: it is used by /m /f http://127.0.0.1:8888/"],
  [AGENTS.slice(1, 2), 0, "goes on: it is used by /f"],
  [AGENTS.slice(2, 3), 0, "goes on: it is used by http://127.0.0.1:8888/"],
  [[], 6, "goes on: syncline status fails"],
])("the local master ends only if no agent uses it: %j, status %i", async (agents, status, then) => {
  const said = await shellWith(
    { agents },
    status,
    `sleeper=$(sleep 100 >/dev/null 2>&1 & echo $!); master_pid() { echo $sleeper; }
stop_master; kill $sleeper 2>/dev/null || true`,
  );
  expect(said).toContain(then);
});

test.skipIf(process.platform !== "linux")(
  "the command runs Node.js itself where `node` leads to a program that finds it",
  async () => {
    const folder = await temporaryFolder();
    const finder = join(folder, "finder");
    writeFileSync(finder, `#!/bin/sh\ncase $0 in */node) exec ${process.execPath} "$@" ;; *) exit 9 ;; esac\n`, {
      mode: 0o755,
    });
    symlinkSync(finder, join(folder, "node"));
    mkdirSync(join(folder, "dist"));
    writeFileSync(join(folder, "dist", "main.js"), 'console.log("runs");\n');
    const line = `. ${here}/scripts/lib/prepare.sh; here=${folder}; cd ${folder}; write_launcher; dist/syncline`;
    const env = { ...process.env, PATH: `${folder}:${process.env["PATH"]}` };
    const child = spawn("bash", ["-c", line], { env, stdio: ["ignore", "pipe", "inherit"] });
    expect(await text(child.stdout)).toBe("runs\n");
  },
);

test.skipIf(process.platform !== "linux")("a mount counts as there only if it shows the bucket asked for", async () => {
  const find = '. "$lib/mounted.sh"; bucket_at /m; bucket_at /m http://127.0.0.1:3600/a/; bucket_at /n; bucket_at /o';
  const { bucket } = AGENTS[0] ?? {};
  expect(await shellWith({ agents: AGENTS.slice(0, 1) }, 0, find)).toBe(`${bucket}\n${bucket}`);
});

/** What a shell says in whose checkout `syncline` answers this. */
async function shellWith(answer: object, status: number, line: string): Promise<string> {
  const folder = await temporaryFolder();
  mkdirSync(join(folder, "dist"));
  const stub = `#!/bin/sh\ncat <<'JSON'\n${JSON.stringify(answer)}\nJSON\nexit ${status}\n`;
  writeFileSync(join(folder, "dist", "syncline"), stub, { mode: 0o755 });
  const env = { ...process.env, XDG_DATA_HOME: join(folder, "data"), XDG_STATE_HOME: join(folder, "state") };
  const script = `${PRELUDE}\nlib=$here/scripts/lib; here=${folder}\n${line}`;
  const child = spawn("bash", ["-c", script], { env, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return `${out}${err}`.trim();
}

async function listening(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}
