/** Commands for many paths in one mount. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { register } from "../../../../src/cli/commands/free.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { servedState } from "../../../support/served-state.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("free takes as many paths as a command line holds", async () => {
  const space = await temporaryFolder();
  const [root, mount] = [join(space, "states"), join(space, "mount")];
  let freed = 0;
  const free = async (paths: readonly unknown[]) => {
    freed = paths.length;
    return { files: freed, freedBytes: 0, unpublished: { files: 0, bytes: 0 }, pinned: [] };
  };
  await servedState(root, { address: "file:///b", mount }, { free });
  const paths = Array.from({ length: 5_000 }, (_, index) => join(mount, `a file with a longer name ${index}`));
  const runtime = createFakeRuntime({});
  const line = ["free", ...paths, "--state", root, "--json"];
  const status = await runCommandLine(line, runtime, [register], "1.2.3");
  expect({ status, err: runtime.err(), freed }).toEqual({ status: 0, err: "", freed: 5_000 });
});

test("free does not ask for an address in a bucket, which it would not take", async () => {
  const runtime = createFakeRuntime({});
  const line = ["free", "file:///srv/bucket/x", "--state", await temporaryFolder(), "--json"];
  expect(await runCommandLine(line, runtime, [register], "1.2.3")).toBe(1);
  expect(JSON.parse(runtime.err())).toMatchObject({ code: "no_agent", hint: "`syncline status` lists the mounts." });
});
