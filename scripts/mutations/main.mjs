/**
 * Breaks the code in small ways, one at a time (list.mjs), in a copy of the checkout, and runs the tests that must notice.
 *   node scripts/mutations/main.mjs [TEXT]     only mutations whose name or file has TEXT
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { checkout, join, report, workspace } from "../drills/lib.ts";
import { mutants } from "./list.mjs";

const wanted = process.argv[2] ?? "";
const copy = join(workspace("mutations").path, "checkout");
mkdirSync(copy);
for (const part of ["src", "test", "package.json", "tsconfig.json", "vitest.config.ts"])
  cpSync(join(checkout, part), join(copy, part), { recursive: true });
symlinkSync(join(checkout, "node_modules"), join(copy, "node_modules"));

let survivors = 0;
const chosen = mutants.filter(({ name, file }) => name.includes(wanted) || file.includes(wanted));
for (const mutant of chosen) {
  const { name, file, test } = mutant;
  const began = performance.now();
  const caught = isCaught(mutant);
  if (!caught) survivors++;
  report(`${caught ? "caught  " : "SURVIVED"}  ${name}  (${file}, ${test}, ${seconds(performance.now() - began)})`);
}
report(`${chosen.length - survivors} of ${chosen.length} caught`);
process.exit(survivors === 0 && chosen.length > 0 ? 0 : 1);

function isCaught({ name, file, from, to, test }) {
  const path = join(copy, file);
  const whole = readFileSync(path, "utf8");
  if (whole.split(from).length !== 2) throw new Error(`${name}: the text to replace is not once in ${file}`);
  writeFileSync(
    path,
    whole.replace(from, () => to),
  );
  const vitest = join(copy, "node_modules/vitest/vitest.mjs");
  const { status, stdout } = spawnSync(process.execPath, [vitest, "run", "--bail", "1", test], {
    cwd: copy,
    env: { ...process.env, NO_COLOR: "1" },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  writeFileSync(path, whole);
  if (status !== 0 && !/Tests +\d+ failed/.test(stdout)) throw new Error(`${name}: ${test} does not run\n${stdout}`);
  return status !== 0;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(0)} s`;
}
