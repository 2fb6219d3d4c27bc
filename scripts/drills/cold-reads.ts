/**
 * Cold reads over a slow line: small files of one directory in order and in any order, a large file from its beginning and at
 * random. How long do they take, and how much do they fetch?
 *   node scripts/drills/cold-reads.ts [FILES [MIB [DELAY_MS]]] [--untimed]      --untimed: on a busy machine
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { fetchedBy } from "./fetched.ts";
import { agent, check, join, master, mkdirSync, randomOf, syncline, workspace } from "./lib.ts";
import { slowLine } from "./slow-line.ts";

const numbers = process.argv.slice(2).filter((each) => !each.startsWith("--"));
const [files = 2_000, mib = 256, delayMs = 20] = numbers.map(Number);
const isTimed = !process.argv.includes("--untimed");
const FILE_BYTES = 4_096;
const RANDOM_READS = 200;
const MIB = 1024 * 1024;
let agents = 0;
const space = workspace("cold-reads");
const served = await master(space);
const { port } = await slowLine(space, served.origin, delayMs);
syncline(space, ["init", served.url()]);
const maker = agent(space, "maker", served.url());
mkdirSync(join(maker.dir, "small"));
for (let at = 0; at < files; at++) writeFileSync(join(maker.dir, "small", nameOf(at)), randomBytes(FILE_BYTES));
const large = openSync(join(maker.dir, "large"), "w");
for (let at = 0; at < mib; at++) writeFileSync(large, randomBytes(MIB));
closeSync(large);
check(maker.flush().published, `${files} files of 4 KiB and one of ${mib} MiB are published`);
maker.unmount();

const random = randomOf(7);
const inOrder = await measured("every small file, in order", (dir) => {
  for (const name of readdirSync(join(dir, "small")).sort()) readFileSync(join(dir, "small", name));
});
const part = Math.ceil(files / 10);
const chosen = Array.from({ length: part }, () => nameOf(Math.floor(random() * files)));
const mixed = await measured(`${part} small files, in any order`, (dir) => {
  for (const name of chosen) readFileSync(join(dir, "small", name));
});
const sequential = await measured("the large file, from its beginning", (dir) => {
  const file = openSync(join(dir, "large"), "r");
  for (const buffer = Buffer.alloc(MIB / 8); readSync(file, buffer) > 0;);
  closeSync(file);
});
const at = Array.from({ length: RANDOM_READS }, () => Math.floor(random() * mib * 256) * FILE_BYTES);
const jumping = await measured(`${RANDOM_READS} times 4 KiB of the large file, at random`, (dir) => {
  const file = openSync(join(dir, "large"), "r");
  for (const offset of at) readSync(file, Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, offset);
  closeSync(file);
});
check(inOrder.bytes < 1.1 * files * FILE_BYTES + MIB, "small files in order are fetched once");
check(mixed.bytes < 3 * part * FILE_BYTES + MIB, "small files in any order bring few others");
check(sequential.bytes < 1.1 * mib * MIB, "a large file is fetched once");
check(jumping.bytes < RANDOM_READS * 1.5 * MIB, "random reads fetch little more than they read");
if (isTimed) {
  check(inOrder.ms < (files * delayMs) / 4, "small files in order take a fraction of their round trips");
  check(sequential.ms < (mib * 4 * delayMs) / 2, "so does a large file");
}

/** Reads on a machine that has read nothing before. */
async function measured(what: string, read: (dir: string) => void) {
  const state = join(space.path, `state-${agents++}`);
  const reader = agent(space, "reader", `http://127.0.0.1:${port}/demo`, { state });
  const fetched = await fetchedBy(reader, what, () => read(reader.dir));
  reader.unmount();
  return fetched;
}

function nameOf(index: number): string {
  return `file-${String(index).padStart(6, "0")}`;
}
