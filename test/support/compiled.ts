/**
 * Runs a TypeScript file of the tests as a separate process. Compiles it with its imports into dist/processes, so that it
 * works on a clean checkout and is never older than its source.
 */
import { type ChildProcess, execFile, fork } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const root = resolve(import.meta.dirname, "../..");

/** Compiles `test/support/<name>.ts`; returns a function that starts it with arguments and an IPC channel. */
export async function compiledProcess(name: string): Promise<(...args: string[]) => ChildProcess> {
  const folder = join(root, "dist", "processes", name);
  await mkdir(folder, { recursive: true });
  const project = join(folder, "tsconfig.json");
  const source = join(root, "test", "support", `${name}.ts`);
  const compilerOptions = { noEmit: false, outDir: folder, rootDir: root, noCheck: true };
  await writeFile(
    project,
    JSON.stringify({ extends: join(root, "tsconfig.json"), compilerOptions, include: [], files: [source] }),
  );
  await promisify(execFile)(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", project]);
  const script = join(folder, "test", "support", `${name}.js`);
  return (...args) => fork(script, args, { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] });
}
