/** Commands that change the list of app passwords at the same time. */
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import { register } from "../../../../src/cli/commands/webdav.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { takeProcessLock } from "../../../../src/objects/process-lock.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

let env: { XDG_CONFIG_HOME: string };

beforeEach(async () => {
  env = { XDG_CONFIG_HOME: await temporaryFolder() };
});

async function run(...args: string[]) {
  const runtime = createFakeRuntime(env);
  const status = await runCommandLine(["webdav", "password", ...args, "--json"], runtime, [register], "1.2.3");
  return { status, out: runtime.out(), err: runtime.err() };
}

async function names(): Promise<string[]> {
  const { passwords } = JSON.parse((await run("list")).out) as { passwords: { name: string }[] };
  return passwords.map(({ name }) => name);
}

test("a password that is revoked while another one is created stays revoked", async () => {
  await run("old");
  const begun = Promise.withResolvers<void>();
  const random = {
    ...systemRandom,
    bytes: (count: number) => {
      begun.resolve();
      return systemRandom.bytes(count);
    },
  };
  const runtime = { ...createFakeRuntime(env), random };
  const creating = runCommandLine(["webdav", "password", "new"], runtime, [register], "1.2.3");
  await begun.promise;
  expect(await run("revoke", "old")).toMatchObject({ status: 0 });
  expect(await creating).toBe(0);
  expect(await names()).toEqual(["new"]);
});

test("while another process changes the list, a command changes nothing and says so", async () => {
  await run("old");
  const path = join(env.XDG_CONFIG_HOME, "syncline", "webdav-passwords.json.lock");
  {
    using _other = takeProcessLock(path, { inUse: "", hint: "" });
    for (const args of [["new"], ["revoke", "old"]])
      expect(await run(...args)).toMatchObject({ status: 4, err: expect.stringContaining("state_in_use") as string });
  }
  expect(await names()).toEqual(["old"]);
});
