import { writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { readConfigFile } from "../../../src/cli/config-file.ts";
import { configKeys, configProblem, envName, OPTIONS, resolveOptions } from "../../../src/cli/options.ts";
import type { OptionName } from "../../../src/cli/options.ts";
import { StartFiles } from "../../../src/cli/start-files.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const none = { flags: {}, env: {}, file: new Map<string, string>(), folder: "/config" };

describe("sources", () => {
  const flags = { cacheSize: "1k" };
  const env = { SYNCLINE_CACHE_SIZE: "2k" };
  const file = new Map([["cache-size", "3k"]]);

  test.each([
    ["the flag wins", { flags, env, file }, 1024],
    ["then the environment", { flags: {}, env, file }, 2048],
    ["then the file", { flags: {}, env: {}, file }, 3072],
    ["an empty variable does not count", { flags: {}, env: { SYNCLINE_CACHE_SIZE: "" }, file }, 3072],
    ["otherwise nothing is set", none, undefined],
  ])("%s", (_, sources, expected) => {
    expect(resolveOptions(["cacheSize"], { ...none, ...sources }).cacheSize).toBe(expected);
  });

  test("options that belong to one run are not read from the file", () => {
    const kept = new Map([["allow-deletes", "00"]]);
    expect(resolveOptions(["allowDeletes"], { ...none, file: kept })).toEqual({});
    expect(configKeys().has("allow-deletes")).toBe(false);
  });

  test.each([
    ["state", "states", resolve("/config/states")],
    ["state", "../states", resolve("/states")],
    ["state", "/states", resolve("/states")],
    ["state", "~/states", join(homedir(), "states")],
    ["owner", "@owners", `@${resolve("/config/owners")}`],
    ["owner", "me", "me"],
  ] as const)("in the file, a path is relative to its folder or to the home: %s = %s", (name, text, expected) => {
    expect(resolveOptions([name], { ...none, file: new Map([[name, text]]) })).toEqual({ [name]: expected });
  });

  test("no option uses the variable that holds a private key", () => {
    const names = (Object.keys(OPTIONS) as OptionName[]).map(envName);
    expect(names).not.toContain("SYNCLINE_KEY");
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("values", () => {
  const given = (name: OptionName, text: string) => resolveOptions([name], { ...none, flags: { [name]: text } })[name];

  test.each([
    ["cacheSize", "10 GiB", 10 * 2 ** 30],
    ["cacheSize", "1.5m", 1.5 * 2 ** 20],
    ["cacheSize", "4096", 4096],
    ["cacheSize", "auto", "auto"],
    ["drain", "0", 0],
    ["drain", "2.5", 2.5],
    ["drain", "0s", 0],
    ["timeout", "90s", 90],
    ["timeout", "2m", 120],
    ["readTimeout", "0.5", 0.5],
    ["durability", "published", "published"],
    ["count", "3", 3],
    ["json", "true", true],
    ["json", "off", false],
    ["owner", "1103401107:4294967294", "1103401107:4294967294"],
  ] as const)("--%s %s", (name, text, expected) => {
    expect(given(name, text)).toBe(expected);
  });

  test.each([
    ["cacheSize", "ten"],
    ["cacheSize", "0"],
    ["cacheSize", "1e99p"],
    ["cacheSize", "none"],
    ["drain", "-1"],
    ["drain", "soon"],
    ["drain", ""],
    ["readTimeout", "-1"],
    ["readTimeout", "Infinity"],
    ["durability", "soon"],
    ["count", "1.5"],
    ["json", "maybe"],
    ["state", ""],
  ] as const)("--%s %j is refused", (name, text) => {
    expect(() => given(name, text)).toThrow(/ is not /);
  });
});

describe("the configuration file", () => {
  const read = async (text: string) => {
    const folder = await temporaryFolder();
    const path = join(folder, "config.toml");
    writeFileSync(path, text);
    return readConfigFile(new StartFiles(), path, configProblem);
  };

  test("that is missing counts as empty", async () => {
    expect((await readConfigFile(new StartFiles(), "/nowhere/config.toml", configProblem)).size).toBe(0);
  });

  test("as an earlier agent read it counts without the lines that this version does not take", async () => {
    const files = new StartFiles(new Map([["/config.toml", 'cache = 1\njson = true\nread-timeout = "soon"\n']]));
    expect(await readConfigFile(files, "/config.toml", configProblem)).toEqual(new Map([["json", true]]));
  });

  test("holds options by their long names", async () => {
    expect(await read('cache-size = "1 GiB"\nread-timeout = 5\nverbose = true\n')).toEqual(
      new Map<string, unknown>([
        ["cache-size", "1 GiB"],
        ["read-timeout", 5],
        ["verbose", true],
      ]),
    );
  });

  test.each([
    ["an unknown option", "cache = 1", /config\.toml:1: unknown option "cache"\.$/],
    ["a table", "# mine\n[mount]\njson = true", /config\.toml:2: unknown option "mount"\.$/],
    ["invalid TOML", "json = true\nlimit = [1,\n", /config\.toml:[23]: [^\n]+\.$/],
    ["an option for a single run", "\n\nrepair = true", /config\.toml:3: repair cannot be set in the file/],
    ["an invalid value", 'durability = "soon"', /config\.toml:1: durability: "soon" is not/],
    ["a value of the wrong type", "cache-size = [1]", /config\.toml:1: cache-size must be a string, a number/],
  ])("%s is refused with file and line", async (_, text, message) => {
    await expect(read(text)).rejects.toMatchObject({ code: "config_invalid", message: expect.stringMatching(message) });
  });

  test("several wrong lines are all reported, in order", async () => {
    const reading = read('nonsense = 1\njson = true\n"repair" = true\nread-timeout = "soon"\n');
    await expect(reading).rejects.toMatchObject({
      errors: [/:1: unknown option/, /:3: repair/, /:4: read-timeout/].map((line) => ({
        code: "config_invalid",
        message: expect.stringMatching(line),
      })),
    });
  });

  test("an invalid value is reported for the file, not for the flag", () => {
    const file = new Map([["durability", "soon"]]);
    expect(() => resolveOptions(["durability"], { ...none, file })).toThrow(/durability in config.toml/);
  });
});
