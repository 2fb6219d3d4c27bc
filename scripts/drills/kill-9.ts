/**
 * kill -9 of the agent during fsynced appends, many times: after each restart every acknowledged record is there, answered
 * ones too, no file is torn; at the end also on a second agent.
 *   node scripts/drills/kill-9.ts [TIMES, default 20] [--master | --masters | --s3 | --s3=numbered]
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { agent, check, checkout, join, report, storage, syncline, until, workspace } from "./lib.ts";

const FILES = 4;
const RECORD = 3 + 1 + 8 + 1 + 50 + 1;
const space = workspace("kill-9");
const { url, rest } = await storage(space);
const times = Number(rest[0] ?? 20);
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const b = agent(space, "b", url);
let acknowledged = 0;
for (let round = 0; round < times; round++) {
  const folder = `round-${round}`;
  mkdirSync(join(a.dir, folder));
  const appender = spawn(process.execPath, [
    join(checkout, "scripts/drills/appender.ts"),
    join(a.dir, folder),
    String(FILES),
  ]);
  const ended = new Promise((done) => appender.once("close", done));
  let told = "";
  appender.stdout.on("data", (data: Buffer) => (told += data.toString()));
  const wanted = 200 + round * 97;
  await until(() => told.split("\n").length > wanted, 60_000, "the appender to get going");
  await a.kill9();
  await ended;
  a.mount();
  acknowledged += checkRecords(a.dir, folder, told, round);
}
report(`${times} kills, ${acknowledged} records answered before a kill, all there`);
check(a.flush().published, "flush after the last restart published");
await until(() => b.status().base === a.status().base, 60_000, "B to stand on A's root", 50);
for (let round = 0; round < times; round++) {
  for (let index = 0; index < FILES; index++) {
    const path = join(`round-${round}`, `append-${index}.log`);
    if (!existsSync(join(a.dir, path))) continue;
    if (!readFileSync(join(a.dir, path)).equals(readFileSync(join(b.dir, path))))
      check(false, `${path} is the same on B`);
  }
}
check(true, "every file is the same on B");
a.unmount();
b.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

/** Checks that what was answered is there, in order, whole. Answers how many records were answered. */
function checkRecords(dir: string, folder: string, told: string, round: number) {
  const answered = Array.from({ length: FILES }, () => -1);
  for (const line of told.split("\n")) {
    const [, index, number] = line.split(" ");
    if (number !== undefined) answered[Number(index)] = Math.max(answered[Number(index)] ?? -1, Number(number));
  }
  for (const [index, last] of answered.entries()) {
    if (last < 0) continue;
    const text = readFileSync(join(dir, folder, `append-${index}.log`), "latin1");
    const records = text.split("\n");
    if (text.length % RECORD !== 0 || records.pop() !== "")
      check(false, `round ${round}: append-${index}.log ends in a whole record`);
    if (
      !records.every((record, at) =>
        record.startsWith(`${String(index).padStart(3, "0")}:${String(at).padStart(8, "0")}:`),
      )
    ) {
      check(false, `round ${round}: append-${index}.log is in order`);
    }
    if (records.length < last + 1)
      check(false, `round ${round}: append-${index}.log has ${records.length} records, ${last + 1} were answered`);
  }
  return answered.reduce((sum, last) => sum + last + 1, 0);
}
