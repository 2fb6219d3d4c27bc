/** What mount(8) passes to its helper, as arguments of `syncline mount`. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type OptionFacts, optionsOf } from "../../../src/cli/command-tree.ts";
import { helperText } from "../../../src/cli/commands/service-mount-helper.ts";
import { parseMountCall, runMountHelper } from "../../../src/cli/mount-helper.ts";
import { createFakeRuntime } from "../../support/fake-runtime.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

let known: readonly OptionFacts[];
beforeAll(async () => {
  known = await optionsOf("mount", createFakeRuntime({}));
});

/** The options that are passed to `syncline mount`. */
function options(given: string, ...more: string[]): readonly string[] {
  const { args } = parseMountCall(["file:///b", "/mnt", "-o", given, ...more], known);
  expect([args.slice(0, 2), args.slice(-3)]).toEqual([
    ["mount", "--background"],
    ["--", "file:///b", "/mnt"],
  ]);
  return args.slice(2, -3);
}

describe("a call by mount(8)", () => {
  test.each([
    ["rw", []],
    ["ro", ["--read-only"]],
    ["ro,rw", []],
    ["rw,noexec,nosuid,nodev,user,_netdev", ["--noexec"]],
    ["rw,nosuid,nodev,users,exec", []],
    ["user=anna,x-systemd.automount,x-foo=1,X-mount.mkdir,comment=a note,nofail,noauto", ["--noexec"]],
    ["defaults,noatime,lazytime,,auto,owner,group,suid,dev", []],
  ])("-o %s means the same as to mount(8)", (given, expected) => {
    expect(options(given)).toEqual(expected);
  });

  test("passes options of syncline mount; of a repeated one, the last", () => {
    expect(options("cache-size=1GiB,owner=me,key=/root/a=b,cache-size=2GiB,insecure")).toEqual([
      "--cache-size=2GiB",
      "--owner=me",
      "--key=/root/a=b",
      "--insecure",
    ]);
  });

  test("keeps commas in quotes", () => {
    expect(options('host="a.example,b.example",ro')).toEqual(["--host=a.example,b.example", "--read-only"]);
  });

  test.each([
    ["an unknown option", ["-o", "rw,cachesize=1GiB"], '"cachesize" is unknown'],
    ["an option without its value", ["-o", "limit"], "needs a value"],
    ["a value where none belongs", ["-o", "noexec=1"], "takes no value"],
    ["synchronous writes", ["-o", "sync"], "needs a value"],
    ["a remount", ["-o", "remount,ro"], '"remount" is unknown'],
    ["a property of every object", ["-o", "constructor"], '"constructor" is unknown'],
    ["an option that does not suit such a mount", ["-o", "background"], '"background" is unknown'],
    ["another namespace", ["-N", "/proc/1/ns/mnt"], "namespace"],
    ["an unknown flag", ["-q"], "Unknown option '-q'"],
    ["a third argument", ["/other"], "a bucket's address and a directory"],
  ])("refuses %s", (_what, more, said) => {
    expect(() => parseMountCall(["file:///b", "/mnt", ...more], known)).toThrow(said);
  });

  test("with -s skips unknown options, and nothing else", () => {
    expect(options("rw,cachesize=1GiB,ro", "-s")).toEqual(["--read-only"]);
    expect(() => options("limit", "-s")).toThrow("needs a value");
  });

  test("accepts combined flags, and a type", () => {
    expect(parseMountCall(["file:///b", "/mnt", "-sfnv", "-t", "syncline"], known)).toMatchObject({
      verbose: true,
      fake: true,
    });
  });

  test("exits with 1 for wrong usage, 32 for a failure, and 0 for -f, which mounts nothing", async () => {
    const argv = [...process.argv];
    const home = await temporaryFolder();
    const status = async (...words: string[]) => {
      const runtime = createFakeRuntime({ XDG_STATE_HOME: home });
      const ended = await runMountHelper(words, runtime, "1");
      process.argv.splice(0, Number.POSITIVE_INFINITY, ...argv);
      return [ended, runtime.err().split("\n")[0]];
    };
    writeFileSync(join(home, "file"), "");
    expect(await status("file:///b")).toEqual([1, expect.stringContaining("needs a bucket's address")]);
    expect(await status("gopher://b", "/mnt")).toEqual([1, expect.stringContaining("gopher")]);
    expect(await status("file:///b", "/mnt", "-f")).toEqual([0, ""]);
    // Its state cannot be created.
    expect(await status("file:///b", "/mnt", "-o", `state=${join(home, "file")}`)).toEqual([
      32,
      expect.stringContaining("state folder"),
    ]);
  });
});

test.skipIf(process.platform === "win32")("the helper passes every argument unchanged", () => {
  const odd = ["a b", "it's", "$HOME", '"', ""];
  const text = helperText(["/usr/bin/env", "printf", "%s\\n", "it's $HOME"]);
  const { stdout } = spawnSync("sh", ["-c", text, "helper", ...odd], { encoding: "utf8" });
  expect(stdout.split("\n").slice(0, -1)).toEqual(["it's $HOME", "mount.syncline", ...odd]);
});
