/** `syncline sync`, for a folder that is not there. */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

async function world() {
  const space = await temporaryFolder();
  const [address, folder] = [pathToFileURL(join(space, "bucket")).href, join(space, "folder")];
  const attempt = async (...args: string[]) => {
    const runtime = createFakeRuntime({}, { environmentKey: "42".repeat(32) });
    const line = [...args, "--state", join(space, "states"), "--json"];
    const status = await runCommandLine(line, runtime, await commandsFor(args), "1.2.3");
    return { status, lines: runtime.out().trimEnd().split("\n"), err: runtime.err() };
  };
  const run = async (...args: string[]) => {
    const { status, lines } = await attempt(...args);
    expect(status).toBe(0);
    return lines;
  };
  await run("init", address);
  return { space, address, folder, attempt, run };
}

test("a dry run for a missing folder shows what would come into it, and creates nothing but its state", async () => {
  const { space, address, folder, run } = await world();
  mkdirSync(join(space, "source"));
  writeFileSync(join(space, "source", "f"), "f");
  await run("put", join(space, "source", "f"), `${address}/f`);
  const [first = ""] = await run("sync", address, folder, "--dry-run");
  expect(JSON.parse(first)).toMatchObject({ action: { where: "folder", what: "add", path: "f" } });
  expect(existsSync(folder)).toBe(false);
  const left = readdirSync(join(space, "states"), { recursive: true, encoding: "utf8" });
  expect(left.filter((path) => path.endsWith("empty"))).toEqual([]);
});

test("a synced folder that is missing deletes nothing, and ends with a status after which a service tries again", async () => {
  const { space, address, folder, attempt, run } = await world();
  mkdirSync(folder);
  writeFileSync(join(folder, "f"), "f");
  await run("sync", address, folder, "--once");
  renameSync(folder, join(space, "away"));
  const { status, err } = await attempt("sync", address, folder);
  expect({ status, ...JSON.parse(err) }).toMatchObject({ status: 1, code: "no_such_path" });
  expect(await run("ls", address)).toEqual([expect.stringContaining('"name":"f"')]);
});
