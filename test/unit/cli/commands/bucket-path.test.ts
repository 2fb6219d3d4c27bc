/** Addresses of paths inside a bucket. */
import { expect, test } from "vitest";
import { register } from "../../../../src/cli/commands/gc.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";

test("a wrong address is quoted as it was typed, and the hint says where a path belongs", async () => {
  const typed = "s3://photos/notes?region=eu-central-1/a.txt";
  const runtime = createFakeRuntime({});
  expect(await runCommandLine(["gc", typed], runtime, [register], "1.2.3")).toBe(2);
  expect(runtime.err()).toContain(`${JSON.stringify(typed)} has an invalid region.`);
  expect(runtime.err()).toContain("a path precedes the question mark");
});
