/** What an agent learns of the program on disk before it hands over. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { requireNextProgram } from "../../../../src/agent/threads/next-program.ts";
import { tellFormats } from "../../../../src/cli/next-program.ts";
import { STATE_FORMATS } from "../../../../src/overlay/state-formats.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

/** Asks a program with this text. */
async function ask(text: string): Promise<void> {
  const path = join(await temporaryFolder(), "main.js");
  writeFileSync(path, text);
  await requireNextProgram([process.execPath, path]);
}

const printing = (formats: unknown) =>
  `if (process.argv[2] === "next-program") console.log('${JSON.stringify(formats)}')`;

test("a program that knows all formats, and perhaps more, takes over", async () => {
  await expect(ask(printing([...STATE_FORMATS, "checkpoint 99"]))).resolves.toBeUndefined();
});

test.each([
  ["lacks formats", printing(STATE_FORMATS.slice(3)), /does not know checkpoint \d+, checkpoint \d+, journal \d+ of/],
  ["is older", 'console.error("syncline: Unknown command.\\n  See"); process.exit(2)', /older version/],
  ["is not built", 'require("./chunk.js")', /Cannot find module '\.\/chunk\.js'/],
  ["cannot mount", 'console.error("syncline: The addon.\\n  Build"); process.exit(1)', /take over: The addon\./],
  ["prints something else", 'console.log("{}")', /take over/],
])("one that %s does not", async (_, text, message) => {
  await expect(ask(text)).rejects.toMatchObject({
    code: "precondition_failed",
    message: expect.stringMatching(message),
    hint: expect.stringContaining("goes on"),
  });
});

test("a program that is gone does not", async () => {
  const gone = requireNextProgram([join(await temporaryFolder(), "node"), "main.js"]);
  await expect(gone).rejects.toMatchObject({ code: "precondition_failed" });
});

test.skipIf(process.platform !== "linux")("this program tells the formats that it writes", () => {
  const runtime = createFakeRuntime({});
  expect(tellFormats(runtime)).toBe(0);
  expect(JSON.parse(runtime.out())).toEqual(STATE_FORMATS);
});
