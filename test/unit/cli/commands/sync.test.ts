/** `syncline sync --dry-run`, for a folder that is not there. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("a dry run for a missing folder shows what would come into it, and creates nothing but its state", async () => {
  const space = await temporaryFolder();
  const [address, folder] = [pathToFileURL(join(space, "bucket")).href, join(space, "folder")];
  const run = async (...args: string[]) => {
    const runtime = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
    const line = [...args, "--state", join(space, "states"), "--json"];
    expect(await runCommandLine(line, runtime, await commandsFor(args), "1.2.3")).toBe(0);
    return runtime.out().trimEnd().split("\n");
  };
  mkdirSync(join(space, "source"));
  writeFileSync(join(space, "source", "f"), "f");
  await run("init", address);
  await run("put", join(space, "source", "f"), `${address}/f`);
  const [first = ""] = await run("sync", address, folder, "--dry-run");
  expect(JSON.parse(first)).toMatchObject({ action: { where: "folder", what: "add", path: "f" } });
  expect(existsSync(folder)).toBe(false);
  const left = readdirSync(join(space, "states"), { recursive: true, encoding: "utf8" });
  expect(left.filter((path) => path.endsWith("empty"))).toEqual([]);
});
