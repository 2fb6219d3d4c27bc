import { expect, test } from "vitest";
import { SynclineError } from "../../../../src/base/errors.ts";
import { createOutput } from "../../../../src/cli/terminal/output.ts";
import type { Look } from "../../../../src/cli/terminal/paint.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";

const look: Look = (line, paint) => paint("bold", line);

function printed(env: NodeJS.ProcessEnv, terminal: boolean, json = false) {
  const runtime = createFakeRuntime(env, { terminal });
  const output = createOutput(runtime, { json, verbose: false });
  output.result({ a: 1 }, "a\u001b[31mb\nc", look);
  output.error(new SynclineError("usage", "No."));
  return [runtime.out(), runtime.err()];
}

test("output on a terminal is colored, and control characters in it stay escaped", () => {
  expect(printed({}, true)).toEqual([
    "\u001b[1ma\\u{1b}[31mb\u001b[0m\n\u001b[1mc\u001b[0m\n",
    "\u001b[31msyncline:\u001b[0m No. (usage)\n",
  ]);
});

test.each([
  ["a pipe", {}, false, false],
  ["NO_COLOR", { NO_COLOR: "1" }, true, false],
  ["a dumb terminal", { TERM: "dumb" }, true, false],
  ["--json", {}, false, true],
] as const)("%s gets no colors", (_, env, terminal, json) => {
  for (const text of printed(env, terminal, json)) expect(text).not.toContain("\u001b");
});
