/** What `syncline serve` refuses to start with. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { register } from "../../../../src/cli/commands/serve.ts";
import { takeProcessLock } from "../../../../src/objects/process-lock.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test.each([
  ["no data folder", [], "usage"],
  ["plaintext bearers between machines", ["--listen", "0.0.0.0:0"], "usage"],
  ["plaintext bearers over IPv6", ["--listen", "[::]:0"], "usage"],
  ["plaintext bearers on a named host", ["--listen", "localhost.example.org:0"], "usage"],
  ["no port", ["--listen", "127.0.0.1"], "usage"],
  ["an invalid port", ["--listen", "127.0.0.1:70000"], "usage"],
  ["a TLS certificate without its key", ["--tls-cert", "cert.pem"], "usage"],
  ["missing TLS files", ["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "config_invalid"],
  ["invalid TLS files", ["--tls-cert", "SHORT", "--tls-key", "SHORT"], "config_invalid"],
  ["empty TLS files", ["--tls-cert", "EMPTY", "--tls-key", "EMPTY"], "config_invalid"],
  ["an invalid wallet", ["--allow", "alice"], "bad_address"],
  ["a storage API whose address is not HTTP", ["--quota-api", "file:///etc"], "usage"],
  ["a remote storage API over plain HTTP", ["--quota-api", "http://storage.example.org"], "usage"],
  ["an invalid quota", ["--quota", "much"], "usage"],
  ["an invalid session key", ["--session-key", "SHORT"], "config_invalid"],
  ["another master that is no origin", ["--masters", "master"], "usage"],
  ["an invalid address for metrics", ["--metrics-listen", "9000"], "usage"],
])("%s", async (_, args, code) => {
  const folder = await temporaryFolder();
  const short = join(folder, "short");
  writeFileSync(short, "short");
  const empty = join(folder, "empty");
  writeFileSync(empty, "");
  const runtime = createFakeRuntime({});
  const data = args.length === 0 ? [] : ["--data", join(folder, "data")];
  const words = ["serve", "--json", ...data, ...args.map((word) => ({ SHORT: short, EMPTY: empty })[word] ?? word)];
  expect(await runCommandLine(words, runtime, [register], "test")).toBe(2);
  expect(JSON.parse(runtime.err())).toMatchObject({ code });
  expect(runtime.out()).toBe("");
});

describe("with an arbiter", () => {
  async function serve(address: string, ...more: string[]) {
    const folder = await temporaryFolder();
    const runtime = createFakeRuntime({});
    const own = ["--data", join(folder, "data"), "--arbiter", address, "--store", `file://${folder}/store`];
    const status = await runCommandLine(["serve", "--json", ...own, ...more], runtime, [register], "test");
    return { status, ...(JSON.parse(runtime.err()) as Record<string, unknown>) };
  }

  test("nothing is opened if an option is invalid: it would keep the process alive", async () => {
    const path = join(await temporaryFolder(), "arbiter.db");
    const ended = await serve(`sqlite:${path}`, "--quota-api", "ftp://storage");
    expect(ended).toMatchObject({ status: 2, code: "usage" });
    expect(existsSync(path)).toBe(false);
  });

  test("that another master has in a file, it does not start", async () => {
    const path = join(await temporaryFolder(), "arbiter.db");
    using _other = takeProcessLock(`${path}.lock`, { inUse: "", hint: "" });
    expect(await serve(`sqlite:${path}`)).toMatchObject({ status: 4, code: "state_in_use" });
  });

  test("that cannot be opened, it does not start", async () => {
    const folder = await temporaryFolder();
    writeFileSync(join(folder, "text"), "no database, which would begin otherwise");
    expect(await serve(`sqlite:${folder}/text`)).toMatchObject({ code: "arbiter_unreachable" });
  });
});
