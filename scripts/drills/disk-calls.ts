/**
 * Counts what a process asks of its disks without waiting (node:fs/promises), by call and the kind of file: figures that do not depend on what
 * else the machine does. To be imported before what is to be counted.
 */
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { devNull } from "node:os";

/** By call and kind, such as "stat turns/…". */
export const diskCalls: Record<string, number> = {};

const CALLS = [
  "link",
  "mkdir",
  "open",
  "readFile",
  "readdir",
  "readlink",
  "rename",
  "stat",
  "unlink",
  "utimes",
] as const;
const OF_FILES = ["read", "write", "writev", "writeFile", "sync", "datasync", "stat", "close"] as const;

type Work = (this: unknown, ...args: unknown[]) => unknown;

const functions = fs as Record<(typeof CALLS)[number], Work>;
for (const call of CALLS) {
  const work = functions[call];
  functions[call] = function (path, ...rest) {
    note(call, kindOf(String(path)));
    return work.call(this, path, ...rest);
  };
}
syncBuiltinESMExports();

const file = await fs.open(devNull);
const methods: Record<(typeof OF_FILES)[number], Work> = Object.getPrototypeOf(file);
await file.close();
for (const call of OF_FILES) {
  const work = methods[call];
  methods[call] = function (...args) {
    note(call, "(open)");
    return work.apply(this, args);
  };
}
for (const key in diskCalls) delete diskCalls[key];

function note(call: string, kind: string): void {
  const key = `${call} ${kind}`;
  diskCalls[key] = (diskCalls[key] ?? 0) + 1;
}

/** The folder of an object of a bucket, or its name if that is one of a kind. */
function kindOf(path: string): string {
  const [folder = "", name = ""] = path.split("/").slice(-2);
  return /^(commit|pack|run|lease|bases|tmp|turns)$/.test(folder)
    ? `${folder}/…`
    : /^(root|lock|genesis)$/.test(name)
      ? name
      : "…";
}
