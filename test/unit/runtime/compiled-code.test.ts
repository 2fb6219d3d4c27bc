import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const source = pathToFileURL(join(import.meta.dirname, "../../../src/runtime/compiled-code.ts")).href;
/** A module for others to import, which prints where compiled code is kept. */
const MODULE = `import m from "node:module"; console.log(m.getCompileCacheDir());`;

/** Runs a module in a process of its own, beside MODULE. Returns what it prints. */
async function run(text: string): Promise<string> {
  const folder = await temporaryFolder();
  const main = join(folder, "main.mjs");
  await writeFile(join(folder, "module.mjs"), MODULE);
  await writeFile(main, `import { keepCompiledCode, saveCompiledCode, threadEnv } from "${source}";\n${text}`);
  return spawnSync(process.execPath, [main], { encoding: "utf8" }).stdout;
}

/** As JavaScript has it, on Windows too. */
const quoted = JSON.stringify;

test("compiled code is saved at once, in a folder that is closed to others whatever the umask", async () => {
  const folder = join(await temporaryFolder(), "a", "compiled");
  await run(`
    process.umask(0);
    keepCompiledCode(${quoted(folder)});
    await import("./module.mjs");
    saveCompiledCode();
    process.kill(process.pid, "SIGKILL");
  `);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files).toHaveLength(1);
  const others = process.platform === "win32" ? 0 : statSync(folder).mode & 0o077;
  expect(others).toBe(0);
});

test("threads use the folder, too", async () => {
  const folder = join(await temporaryFolder(), "compiled");
  const printed = await run(`
    import { Worker } from "node:worker_threads";
    keepCompiledCode(${quoted(folder)});
    new Worker(new URL("module.mjs", import.meta.url), { env: threadEnv() });
  `);
  expect(printed).toContain(folder);
});

test("a program that may not write there starts all the same", async () => {
  const file = join(await temporaryFolder(), "file");
  await writeFile(file, "");
  for (const path of [file, join(file, "compiled")]) {
    const printed = await run(`keepCompiledCode(${quoted(path)}); saveCompiledCode(); console.log("It runs.");`);
    expect(printed).toBe("It runs.\n");
  }
});
