/** The master of scripts/start and scripts/stop. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
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

test.skipIf(process.platform !== "linux")(
  "if another process holds the port, the start shows its own error and what to do",
  async () => {
    const folder = await temporaryFolder();
    const run = join(folder, "state", "syncline", "master");
    await using taken = await listening();
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
  },
);

async function listening(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: async () => void server.close() };
}
