import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { checkToken } from "../../../src/crypto/token.ts";
import { addCommand } from "../../../src/cli/command.ts";
import type { Program } from "../../../src/cli/command.ts";
import { register as registerKey } from "../../../src/cli/commands/key.ts";
import { toJson } from "../../../src/cli/terminal/output.ts";
import { runCommandLine } from "../../../src/cli/program.ts";
import { ProgressRate } from "../../../src/cli/terminal/progress-rate.ts";
import { progressLine } from "../../../src/cli/terminal/progress.ts";
import { printBytes, printDuration } from "../../../src/cli/terminal/text.ts";
import { register as registerToken } from "../../../src/cli/commands/token.ts";
import { createFakeRuntime } from "../../support/fake-runtime.ts";
import type { FakeRuntime } from "../../support/fake-runtime.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const PRIVATE = "42".repeat(32);
const ADDRESS = "0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025";

async function run(runtime: FakeRuntime, ...args: string[]) {
  const status = await runCommandLine(args, runtime, [registerKey, registerToken, registerTrial], "1.2.3");
  return { status, out: runtime.out(), err: runtime.err() };
}

/** A command that does what its argument says. */
function registerTrial(program: Program): void {
  addCommand(program, {
    name: "trial",
    arguments: [["<what>", "fail, crash, three or say"]],
    summary: "for tests",
    options: ["cacheSize"],
    examples: ["syncline trial say"],
    exits: [3],
    async run({ args, options, output }) {
      if (args[0] === "fail")
        throw new SynclineError("bucket_exists", "It \u001b[31mexists.", { hint: "Take another." });
      if (args[0] === "crash") throw new TypeError("of undefined");
      if (args[0] === "three") return 3;
      output.result({ cacheSize: options.cacheSize ?? null }, "said");
      return 0;
    },
  });
}

describe("the exit status of a command line", () => {
  test.each([
    [["trial", "say"], 0],
    [["trial", "three"], 3],
    [["trial", "fail"], 4],
    [["trial", "crash"], 1],
    [["trial"], 2],
    [["trial", "say", "--cache-size", "much"], 2],
    [["trial", "say", "more", "still"], 2],
    [["trial", "say", "--nonsense"], 2],
    [["tral"], 2],
    [[], 2],
    [["key"], 2],
    [["--help"], 0],
    [["trial", "--help"], 0],
    [["help", "trial"], 0],
    [["--version"], 0],
  ])("%j: %i", async (args, status) => {
    expect(await run(createFakeRuntime({}), ...args)).toMatchObject({ status });
  });
});

describe("errors", () => {
  test("show people a message and a hint, with terminal control characters escaped", async () => {
    const { err, out } = await run(createFakeRuntime({}), "trial", "fail");
    expect(err).toBe("syncline: It \\u{1b}[31mexists. (bucket_exists)\n  Take another.\n");
    expect(out).toBe("");
  });

  test.each([
    ["before", ["--json", "trial", "fail"], {}, ""],
    ["after", ["trial", "fail", "--json"], {}, ""],
    ["in the environment", ["trial", "fail"], { SYNCLINE_JSON: "1" }, ""],
    ["in the configuration file", ["trial", "fail"], {}, "json = true"],
  ])("are one JSON object with --json, given %s", async (_, args, env, config) => {
    const folder = await temporaryFolder();
    writeConfig(folder, config);
    const { err } = await run(createFakeRuntime({ XDG_CONFIG_HOME: folder, ...env }), ...args);
    expect(JSON.parse(err)).toEqual({ code: "bucket_exists", message: "It \u001b[31mexists.", hint: "Take another." });
  });

  test.each([
    ["after", ["--json"], {}, ""],
    ["in the environment", [], { SYNCLINE_JSON: "1" }, ""],
    ["in the configuration file", [], {}, "json = true"],
  ])("of usage are JSON objects too, with nothing else on stderr: --json %s", async (_, args, env, config) => {
    const folder = await temporaryFolder();
    writeConfig(folder, config);
    const { err } = await run(createFakeRuntime({ XDG_CONFIG_HOME: folder, ...env }), "trial", "--nonsense", ...args);
    expect(JSON.parse(err)).toMatchObject({ code: "usage", message: "Unknown option '--nonsense'." });
  });

  test.each([
    [["help", "tral"], "Unknown command 'tral'.", "See syncline --help."],
    [[], "No command was given.", "See syncline --help."],
    [["trial"], "Missing required argument 'what'.", "See syncline trial --help."],
    [["key", "import"], "Missing required argument 'file'.", "See syncline key import --help."],
    [["token"], "--origin is required.", "See syncline token --help."],
  ])("of usage point to the right help: %j", async (args, message, hint) => {
    const { err } = await run(createFakeRuntime({}), ...args);
    expect(err).toBe(`syncline: ${message} (usage)\n  ${hint}\n`);
  });

  test("that are defects show a stack only with -v, wherever that is given", async () => {
    const short = await run(createFakeRuntime({}), "trial", "crash");
    expect(short.err).toBe("syncline: of undefined (internal)\n");
    const long = await run(createFakeRuntime({}), "trial", "crash", "-v");
    expect(long.err).toContain("command-line.test");
    const fromEnvironment = await run(createFakeRuntime({ SYNCLINE_VERBOSE: "1" }), "trial", "crash");
    expect(fromEnvironment.err).toContain("command-line.test");
  });
});

describe("help", () => {
  test("shows examples, exit statuses, and where else an option may be set", async () => {
    const { out } = await run(createFakeRuntime({}), "trial", "--help");
    for (const part of ["$ syncline trial say", "  3  unpublished data remains", "SYNCLINE_CACHE_SIZE", "--json"]) {
      expect(out).toContain(part);
    }
  });
});

describe("options in the configuration file", () => {
  test("reach the command", async () => {
    const folder = await temporaryFolder();
    const runtime = createFakeRuntime({ XDG_CONFIG_HOME: folder });
    writeConfig(folder, 'cache-size = "1k"\njson = true\n');
    expect(await run(runtime, "trial", "say")).toMatchObject({ status: 0, out: '{"cacheSize":1024}\n' });
  });

  test("that are wrong are reported one per line, with one hint", async () => {
    const folder = await temporaryFolder();
    const runtime = createFakeRuntime({ XDG_CONFIG_HOME: folder });
    writeConfig(folder, "cash-size = 1\njson = true\nread-timeout = false\n");
    const { status, err } = await run(runtime, "trial", "say");
    const file = join(folder, "syncline", "config.toml");
    expect(status).toBe(2);
    expect(err.split("\n")).toEqual([
      `syncline: ${file}:1: unknown option "cash-size". (config_invalid)`,
      `syncline: ${file}:3: read-timeout: false is not a number of seconds. (config_invalid)`,
      expect.stringMatching(/^ {2}Each line sets an option/),
      "",
    ]);
  });

  test("that are wrong stop every command", async () => {
    const folder = await temporaryFolder();
    writeConfig(folder, "cash-size = 1\n");
    const { status, err } = await run(createFakeRuntime({ XDG_CONFIG_HOME: folder }), "trial", "say");
    expect({ status, err }).toMatchObject({ status: 2, err: expect.stringContaining("cash-size") as string });
  });
});

describe("the wallet key", () => {
  test("from the environment is used as it is", async () => {
    const runtime = createFakeRuntime({}, { environmentKey: `0x${PRIVATE}` });
    expect(await run(runtime, "key", "show", "--json")).toMatchObject({
      status: 0,
      out: `{"path":"SYNCLINE_KEY","address":"${ADDRESS}"}\n`,
    });
  });

  test("that is invalid is refused without being shown", async () => {
    const { status, err } = await run(createFakeRuntime({}, { environmentKey: "secret123" }), "key", "show");
    expect(status).toBe(5);
    expect(err).not.toContain("secret123");
  });

  test("is created when first needed, not by `key show`, with a passphrase beside it, both for their owner only", async () => {
    const folder = await temporaryFolder();
    const env = { XDG_CONFIG_HOME: folder };
    const none = await run(createFakeRuntime(env), "key", "show");
    expect([none.status, none.err, readdirSync(folder)]).toEqual([5, expect.stringContaining("syncline key new"), []]);
    await run(createFakeRuntime(env), "token", "--origin", "https://m.example");
    const first = await run(createFakeRuntime(env), "key", "show", "--json");
    const { path, address } = JSON.parse(first.out) as { path: string; address: string };
    expect(path).toBe(join(folder, "syncline", "key.json"));
    expect(readdirSync(join(folder, "syncline")).toSorted()).toEqual(["key.json", "key.pass"]);
    for (const name of ["key.json", "key.pass"]) {
      expect(statSync(join(folder, "syncline", name)).mode & 0o777).toBe(0o600);
    }
    const again = await run(createFakeRuntime(env), "key", "show", "--json");
    expect(JSON.parse(again.out)).toEqual({ path, address });
    const made = await run(createFakeRuntime(env), "token", "--origin", "https://m.example", "--json");
    const { token, wallet } = JSON.parse(made.out) as { token: string; wallet: string };
    const nowSeconds = Math.floor(statSync(path).mtimeMs / 1000);
    expect(checkToken(token, nowSeconds)).toMatchObject({ kind: "valid", claims: { wallet: address } });
    expect(wallet).toBe(address);
  });

  test("is not created at a --key path that does not exist", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, "mistyped.json");
    expect(await run(createFakeRuntime({}), "key", "show", "--key", path)).toMatchObject({ status: 5 });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("is imported from hex on stdin, opened with the passphrase file, and never overwritten", async () => {
    const folder = await temporaryFolder();
    const key = join(folder, "key.json");
    const pass = join(folder, "pass");
    writeFileSync(pass, "open sesame\n");
    const env = { SYNCLINE_KEY_FILE: key, SYNCLINE_PASSPHRASE_FILE: pass };
    const imported = await run(createFakeRuntime(env, { input: `${PRIVATE}\n` }), "key", "import", "-");
    expect(imported).toMatchObject({ status: 0, out: `${ADDRESS}  ${key}\n` });
    const before = readFileSync(key);
    expect(await run(createFakeRuntime(env, { input: PRIVATE }), "key", "import", "-")).toMatchObject({ status: 4 });
    expect(await run(createFakeRuntime(env), "key", "new")).toMatchObject({ status: 4 });
    expect(readFileSync(key)).toEqual(before);
    expect(await run(createFakeRuntime(env), "token", "--origin", "https://m.example")).toMatchObject({ status: 0 });
    writeFileSync(pass, "wrong");
    const locked = await run(createFakeRuntime(env), "token", "--origin", "https://m.example", "--json");
    expect(JSON.parse(locked.err)).toMatchObject({ code: "key_locked" });
  });
});

describe("a token", () => {
  test.each(["http://master.example", "ftp://127.0.0.1", "master.example", ""])(
    "is not issued for %j",
    async (origin) => {
      const runtime = createFakeRuntime({}, { environmentKey: PRIVATE });
      expect(await run(runtime, "token", "--origin", origin)).toMatchObject({ status: 2, out: "" });
    },
  );

  test("valid for more than a day is refused", async () => {
    const runtime = createFakeRuntime({}, { environmentKey: PRIVATE });
    expect(await run(runtime, "token", "--origin", "https://m.example", "--ttl", "86401")).toMatchObject({ status: 2 });
  });
});

describe("text", () => {
  test("JSON output has all terminal control characters escaped, and parses to the same value", () => {
    const value = { name: "a\u202eb\u009bc\u2028d\u001be\u{e0001}" };
    expect(toJson(value)).toMatch(/^[\u0020-\u007e]*$/);
    expect(JSON.parse(toJson(value))).toEqual(value);
  });

  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1_048_575, "1024 KiB"],
    [10 * 2 ** 30, "10.0 GiB"],
  ])("%i bytes print as %s", (bytes, text) => {
    expect(printBytes(bytes)).toBe(text);
  });

  test.each([
    [12, "12 ms"],
    [59_940, "59.9 s"],
    [250_000, "4 min 10 s"],
    [7_500_000, "2 h 5 min"],
  ])("%i ms print as %s", (ms, text) => {
    expect(printDuration(ms)).toBe(text);
  });

  test("progress shows the percentage, the time left, counts and rates", () => {
    const rate = new ProgressRate(0);
    rate.note(1000, { files: 5, bytes: 512 });
    expect(progressLine("put", { files: 5, bytes: 512 }, { files: 6, bytes: 1024 }, rate)).toBe(
      "put   50%  1.0 s left  5 of 6 files  512 B of 1.00 KiB  5.0 files/s  512 B/s",
    );
    expect(progressLine("put", { bytes: 512 }, undefined, new ProgressRate(0))).toBe("put  512 B");
  });
});

function writeConfig(home: string, text: string): void {
  const folder = join(home, "syncline");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.toml"), text);
}
