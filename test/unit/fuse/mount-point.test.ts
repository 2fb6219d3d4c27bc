/** Where a bucket can be mounted. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { detachCommand, prepareMountPoint } from "../../../src/fuse/mount-point.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

test("commands that people copy quote the mount point", async () => {
  const missing = join(await temporaryFolder(), "my data/sub");
  const hint = `Create the directory first: mkdir -p '${missing}'`;
  await expect(prepareMountPoint(missing, systemClock)).rejects.toMatchObject({ code: "no_such_path", hint });
  expect(detachCommand("/my data")).toMatch(/ '\/my data'$/);
});
