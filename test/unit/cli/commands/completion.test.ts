/** What shells complete, and the manual page: both name all commands, and are what their readers take. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { commandTree } from "../../../support/command-tree.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

async function printed(...args: string[]): Promise<string> {
  const runtime = createFakeRuntime({});
  expect(await runCommandLine(args, runtime, await commandsFor(args), "1.2.3")).toBe(0);
  return runtime.out();
}

const NO_COMPLAINT = { status: 0, stderr: "" };

describe("the completion script", () => {
  test.each(["bash", "zsh", "fish"])("for %s parses, and knows every command and option", async (shell) => {
    const script = await printed("completion", shell);
    const { leaves } = await commandTree();
    for (const { name, command } of leaves) {
      expect(script).toContain(name);
      for (const { long } of command.options)
        expect(script, name).toContain(shell === "fish" ? `-l ${long?.slice(2)}` : long);
    }
    const path = join(await temporaryFolder(), shell);
    writeFileSync(path, script);
    const { error, status, stderr } = spawnSync(shell, ["-n", path], { encoding: "utf8" });
    // A shell that is not here says nothing.
    expect(error === undefined ? { status, stderr } : NO_COMPLAINT).toEqual(NO_COMPLAINT);
  });

  test.each([
    [["st"], "status"],
    [["key", ""], "import new show"],
    [["conflicts", "re"], "resolve"],
    [["mount", "URL", "DIR", "--gc", ""], "auto off"],
    [["put", "--recurs"], "--recursive"],
  ])("for bash completes %j", async (words, wanted) => {
    const script = await printed("completion", "bash");
    const ask = `${script}\nCOMP_WORDS=(syncline "$@"); COMP_CWORD=$#; _syncline; echo "\${COMPREPLY[*]}"`;
    const { stdout } = spawnSync("bash", ["-c", ask, "bash", ...words], { encoding: "utf8" });
    expect(stdout.trim()).toBe(wanted);
  });

  test("for another shell is refused", async () => {
    const runtime = createFakeRuntime({});
    expect(await runCommandLine(["completion", "cmd"], runtime, await commandsFor([]), "1.2.3")).toBe(2);
    expect(runtime.err()).toContain("bash, zsh or fish");
  });
});

test("the manual page has every command, and no text line that man takes for a request", async () => {
  const page = await printed("man");
  const { leaves } = await commandTree();
  for (const { name } of leaves) expect(page).toContain(`.SS "syncline ${name.replaceAll("-", "\\-")} `);
  const requests = new Set(page.split("\n").flatMap((line) => /^[.'](\S*)/.exec(line)?.[1] ?? []));
  expect([...requests].toSorted()).toEqual(["B", "I", "PP", "SH", "SS", "TH", "TP", "fi", "nf"]);
  expect(page).toContain("\\-\\-cache\\-size");
});
