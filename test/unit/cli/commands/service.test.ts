/** `syncline service`: the units that it writes, as systemd reads them, and what it refuses. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { unitText } from "../../../../src/cli/commands/systemd-unit.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

/** What systemd says of a unit; undefined where it cannot be asked. */
function verify(path: string, system: boolean): string | undefined {
  const env = { ...process.env, XDG_RUNTIME_DIR: dirname(path) };
  const args = [...(system ? [] : ["--user"]), "verify", path];
  const { error, stdout, stderr } = spawnSync("systemd-analyze", args, { env, encoding: "utf8" });
  return error === undefined ? `${stdout}${stderr}` : undefined;
}

interface Answer {
  readonly status: number;
  readonly value: Record<string, unknown>;
  readonly err: string;
}

async function run(config: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Answer> {
  const runtime = createFakeRuntime({ XDG_CONFIG_HOME: config, ...env });
  // What stands behind -- is not for this command.
  const [own, words] = args.includes("--")
    ? [args.slice(0, args.indexOf("--")), args.slice(args.indexOf("--"))]
    : [args, []];
  const status = await runCommandLine(
    ["service", ...own, "--json", ...words],
    runtime,
    await commandsFor(["service"]),
    "1",
  );
  const line = runtime.out().split("\n").find(Boolean) ?? "{}";
  return { status, value: JSON.parse(line) as Record<string, unknown>, err: runtime.err() };
}

describe.skipIf(process.platform !== "linux")("a service", () => {
  test("inherits the state and key given before --, and no settings unsuited to a service", async () => {
    const config = await temporaryFolder();
    const sync = ["--", "sync", "file:///srv/bucket", "/srv/work"];
    const env = { SYNCLINE_ONCE: "1", SYNCLINE_BACKGROUND: "1", SYNCLINE_TOKEN: "secret", SYNCLINE_LIMIT: "1MiB" };
    const { value } = await run(config, ["install", "a", "--dry-run", "--state", "/s", "--key", "/k", ...sync], env);
    const lines = String(value["text"]).split("\n");
    expect(lines.filter((line) => line.startsWith("Environment=")).sort()).toEqual([
      'Environment="SYNCLINE_KEY_FILE=/k"',
      'Environment="SYNCLINE_LIMIT=1MiB"',
      'Environment="SYNCLINE_STATE=/s"',
      `Environment="XDG_CONFIG_HOME=${config}"`,
    ]);
  });

  test("installed system-wide keeps HOME, where its key and states are", async () => {
    const config = await temporaryFolder();
    const sync = ["--", "sync", "file:///srv/bucket", "/srv/work"];
    const { value } = await run(config, ["install", "a", "--dry-run", "--system", ...sync]);
    expect(String(value["text"])).toContain(`Environment="HOME=${homedir()}"`);
  });

  test("is refused without the passphrase of the key that it will use", async () => {
    const config = await temporaryFolder();
    const key = join(config, "k.json");
    writeFileSync(key, "{}");
    const sync = ["--", "sync", "file:///srv/bucket", "/srv/work"];
    expect((await run(config, ["install", "a", "--dry-run", "--key", key, ...sync])).status).toBe(5);
    expect((await run(config, ["install", "a", "--dry-run", ...sync, "--key", key])).status).toBe(5);
    expect((await run(config, ["install", "a", "--dry-run", "--key", key, ...sync, "--key", "/k"])).status).toBe(0);
    const file = ["--passphrase-file", "/p"];
    expect((await run(config, ["install", "a", "--dry-run", ...sync, "--key", key, ...file])).status).toBe(0);
    expect((await run(config, ["install", "a", "--dry-run", ...sync, "--help"])).status).toBe(2);
  });

  test("on S3 keeps its profile, and is refused if its key is only in the environment", async () => {
    const config = await temporaryFolder();
    const mount = ["install", "a", "--dry-run", "--", "sync", "s3://bucket/notes", "/srv/work"];
    const keys = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret" };
    expect(await run(config, mount, keys)).toMatchObject({ status: 5 });
    const { status, value } = await run(config, mount, { ...keys, AWS_PROFILE: "work", AWS_REGION: "r" });
    expect(status).toBe(0);
    expect(String(value["text"]).match(/AWS_.*(?=")/g)).toEqual(["AWS_PROFILE=work", "AWS_REGION=r"]);
    expect((await run(config, [...mount.slice(0, -2), "file:///srv/bucket", "/srv/work"], keys)).status).toBe(0);
  });

  test("is listed only if its unit is a readable file", async () => {
    const config = await temporaryFolder();
    mkdirSync(join(config, "systemd/user/syncline-folder.service"), { recursive: true });
    symlinkSync("/nowhere", join(config, "systemd/user/syncline-link.service"));
    expect(await run(config, ["status"])).toMatchObject({ status: 0, value: { services: [] } });
  });

  test.each(["line\nExecStartPre=x", "blank ", "back\\"])(
    "is not written for a working folder that no unit can name: %j",
    async (name) => {
      const config = await temporaryFolder();
      const folder = join(config, name);
      mkdirSync(folder);
      const before = process.cwd();
      process.chdir(folder);
      try {
        const { status } = await run(config, ["install", "a", "--dry-run", "--", "sync", "file:///b", "/w"]);
        expect(status).toBe(2);
      } finally {
        process.chdir(before);
      }
    },
  );

  test("is written, listed and removed without touching other units", async () => {
    const config = await temporaryFolder();
    const folder = join(config, "systemd/user");
    const words = ["--", "sync", "file:///srv/bucket", "/srv/100% of it", "--limit", "1MiB"];
    const dryRunResult = await run(config, ["install", "work", "--dry-run", ...words]);
    expect([dryRunResult.status, existsSync(folder)]).toEqual([0, false]);
    const installed = await run(config, ["install", "work", ...words], {
      SYNCLINE_KEY: "secret",
      SYNCLINE_STATE: "/s",
    });
    expect(installed).toMatchObject({
      status: 0,
      value: { unit: join(folder, "syncline-work.service"), written: true },
    });
    const text = readFileSync(join(folder, "syncline-work.service"), "utf8");
    expect(text).toContain('"sync" "file:///srv/bucket" "/srv/100%% of it" "--limit" "1MiB"');
    expect(text).toContain('Environment="SYNCLINE_STATE=/s"');
    expect(text).not.toContain("secret");

    const other = await run(config, ["install", "work", "--", "webdav", "file:///srv/bucket"]);
    expect([other.status, other.err]).toEqual([4, expect.stringContaining("path_exists")]);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "syncline-mine.service"), "[Service]\n");
    expect((await run(config, ["status"])).value).toMatchObject({ services: [{ name: "work" }] });
    expect((await run(config, ["uninstall", "mine"])).status).toBe(4);
    expect((await run(config, ["uninstall", "work"])).value).toMatchObject({ removed: true });
    expect((await run(config, ["uninstall", "work"])).status).toBe(1);
    expect(readdirSync(folder)).toEqual(["syncline-mine.service"]);
  });

  test.each([
    ["a command that cannot be a service", ["ls", "file:///b"]],
    ["a command that would accept any bucket at each start", ["mount", "file:///b", "/d", "--accept"]],
    ["a command that would accept any bucket at each start", ["sync", "--accept", "file:///b", "/d"]],
    ["a command that ends at once", ["sync", "file:///b", "/d", "--once"]],
    ["a command that goes to the background itself", ["mount", "file:///b", "/d", "--background"]],
    ["a command with an unknown option", ["sync", "file:///b", "/d", "--wacth"]],
    ["a command with too few arguments", ["mount", "file:///b"]],
  ])("does not run %s", async (_what, words) => {
    const { status, err } = await run(await temporaryFolder(), ["install", "x", "--dry-run", "--", ...words]);
    expect([status, err]).toEqual([2, expect.stringContaining("usage")]);
  });

  test("is refused if someone would have to type a passphrase, or if its name is a path", async () => {
    const config = await temporaryFolder();
    const words = ["--", "webdav", "file:///b"];
    expect((await run(config, ["install", "../../x", "--dry-run", ...words])).status).toBe(2);
    mkdirSync(join(config, "syncline"));
    writeFileSync(join(config, "syncline/key.json"), "{}");
    expect((await run(config, ["install", "x", "--dry-run", ...words])).status).toBe(5);
    writeFileSync(join(config, "syncline/key.pass"), "open");
    expect((await run(config, ["install", "x", "--dry-run", ...words])).status).toBe(0);
  });

  test("is a unit that systemd accepts, whatever its arguments contain", async ({ skip }) => {
    const folder = await temporaryFolder();
    const awkward = ["file:///srv/b$HOME", 'a "quoted" \\ name', "100%h", "; true"];
    const environment = new Map([["XDG_STATE_HOME", '/a "b" %c']]);
    const supervisor = join(folder, "a$b %n", "supervisor");
    mkdirSync(dirname(supervisor));
    symlinkSync("/usr/bin/true", supervisor);
    for (const system of [false, true]) {
      const bad = join(folder, "syncline-bad.service");
      writeFileSync(bad, `[Service]\nExecStart=${process.execPath}\nNonsense=1\n`);
      if (verify(bad, system)?.includes("syncline-bad") !== true) skip("systemd-analyze does not verify here");
      for (const command of ["mount", "sync", "webdav"]) {
        const path = join(folder, `syncline-${command}.service`);
        const program = [supervisor];
        const words = [command, ...awkward];
        writeFileSync(path, unitText({ words, program, supervisor, workingDirectory: folder, environment, system }));
        expect(verify(path, system)).not.toContain("syncline-");
      }
    }
  });

  test.each([
    ["", {}, [], 90],
    ["drain = 300", {}, [], 360],
    ["drain = 300", { SYNCLINE_DRAIN: "100" }, [], 160],
    ["drain = 300", { SYNCLINE_DRAIN: "100" }, ["--drain", "200"], 260],
  ])("takes drain from where its agent does: %j, %j, %j", async (line, env, more, seconds) => {
    const config = await temporaryFolder();
    mkdirSync(join(config, "syncline"));
    writeFileSync(join(config, "syncline", "config.toml"), line);
    const { value } = await run(config, ["install", "a", "--dry-run", "--", "sync", "file:///b", "/w", ...more], env);
    expect(/^TimeoutStopSec=(\d+)$/m.exec(String(value["text"]))?.[1]).toBe(`${seconds}`);
  });

  test("lets the agent publish for as long as --drain says before systemd kills it", () => {
    const facts = {
      words: ["sync"],
      program: ["/node"],
      workingDirectory: "/",
      environment: new Map(),
      system: false,
      supervisor: "/s",
    };
    expect(unitText(facts)).toMatch(/^TimeoutStopSec=90$/m);
    expect(unitText({ ...facts, drainMs: 300_000 })).toMatch(/^TimeoutStopSec=360$/m);
  });

  test("of a mount tells systemd when it is up, and outlives its agents", () => {
    const facts = { words: ["mount", "file:///b", "/d"], program: ["/node", "/main.js"], supervisor: "/supervisor" };
    const more = { workingDirectory: "/", environment: new Map<string, string>() };
    const [system, user] = [true, false].map((each) => unitText({ ...facts, ...more, system: each }).split("\n"));
    for (const unit of [system, user]) {
      expect(unit).toEqual(
        expect.arrayContaining([
          "Type=notify",
          "NotifyAccess=main",
          'ExecStart="/supervisor" "--service" "/node" "/main.js" "mount" "file:///b" "/d"',
          "KillMode=mixed",
          "OOMPolicy=continue",
          `TimeoutStopSec=90`,
        ]),
      );
    }
    // It starts without a network, and stops before the network does.
    expect(system?.filter((line) => /^(After|Wants|Requires)=/.test(line))).toEqual(["After=network.target"]);
    // fusermount3 is a set-id program, and each of these implies NoNewPrivileges= for a user's unit.
    const implying = /^(NoNewPrivileges|Lock|Restrict(?!ions)|SystemCall|Capability|Protect|Private|Device|Memory)\w*=/;
    expect(user?.filter((line) => implying.test(line) && !line.startsWith("RestartPrevent"))).toEqual([]);
    // Each of these gives the unit its own mount namespace: nobody else would see the mount.
    const hiding =
      /^(Private(Tmp|Devices|Mounts)|Protect(System|Home|Kernel\w+|ControlGroups|Proc)|\w+Paths|\w+Directory(?<!WorkingDirectory)|RootImage)=/;
    expect(system?.filter((line) => hiding.test(line))).toEqual([]);
  });

  test("of a system-wide mount has an exposure of 5.0 at most, as systemd-analyze rates it", async ({ skip }) => {
    const path = join(await temporaryFolder(), "syncline-a.service");
    const words = ["mount", "file:///b", "/d"];
    const facts = { words, program: ["/node"], supervisor: "/s", workingDirectory: "/", environment: new Map() };
    writeFileSync(path, unitText({ ...facts, system: true }));
    const args = ["security", "--offline=true", "--no-pager", path];
    const { error, stdout } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
    if (error !== undefined) skip("systemd-analyze is not installed");
    const [, exposure] = /Overall exposure level for syncline-a\.service: ([\d.]+)/.exec(stdout) ?? [];
    if (exposure === undefined) skip("systemd-analyze rates no files here");
    expect(Number(exposure)).toBeLessThanOrEqual(5);
  });

  test("has no line injected by its arguments", () => {
    const words = ["sync", "file:///b", "/w\nExecStartPre=/x\n#\t", "end\\"];
    const environment = new Map([["SYNCLINE_STATE", "/s\nUser=x"]]);
    const text = unitText({
      words,
      program: ["/node"],
      supervisor: "/s",
      workingDirectory: "/",
      environment,
      system: false,
    });
    expect(text).not.toMatch(/^(ExecStartPre|User)=/m);
    expect(text).toContain(String.raw`"/w\x0aExecStartPre=/x\x0a#\x09" "end\\"`);
    expect(text).toMatch(/^Description=.*[^\\]$/m);
  });
});
