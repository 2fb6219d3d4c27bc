/**
 * `--cache-size SIZE` limits cached blocks and unpublished contents together. Offline, a write beyond the limit fails with
 * ENOSPC, and every acknowledged byte is there after kill -9 and a new mount. Online, more bytes than the limit can be written,
 * in many files and in one that stays open, while the state never exceeds the limit.
 *   node scripts/drills/cache-limit.ts [OFFLINE_MIB=5120] [ITS_LIMIT=1024] [ONLINE_MIB=3072] [ITS_LIMIT=500] [--master]
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  readdirSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { systemCodeOf } from "../../src/base/system-errors.ts";
import {
  agent,
  type AgentHandle,
  check,
  existsSync,
  join,
  report,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

const MiB = 1024 * 1024;
/** Room beside the limit: for files being opened, journals, and blocks on their way into the cache. */
const BESIDE_MIB = 96;

const space = workspace("cache-limit");
const { url, rest, away, back } = await storage(space);
const [offlineMiB = 5_120, offlineLimit = 1_024, onlineMiB = 3_072, onlineLimit = 500] = rest.map(Number);
const FILE_MIB = Math.min(64, Math.floor(offlineLimit / 8), Math.floor(onlineLimit / 4));
if (away === undefined || back === undefined) throw new Error("this bucket cannot be taken away");
const noise = randomBytes(MiB);
syncline(space, ["init", url]);

await offline();
await online();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

async function offline(): Promise<void> {
  const a = agent(space, "a", url, { args: ["--cache-size", `${offlineLimit}MiB`] });
  const { bsize, blocks } = statfsSync(a.dir);
  const most = offlineLimit - Math.min(128, offlineLimit / 8);
  check(
    Math.abs(bsize * blocks - most * MiB) < MiB,
    `df shows ${most} of ${offlineLimit} MiB; the rest is reserved for the cache`,
  );
  await away?.();
  const acknowledged = new Map<string, number>();
  let refused = 0;
  for (let first = 0; first < offlineMiB; first += FILE_MIB) {
    const name = `f${first / FILE_MIB}`;
    const { mib, code } = write(join(a.dir, name), Math.min(FILE_MIB, offlineMiB - first), first);
    if (mib > 0) acknowledged.set(name, mib);
    if (code !== undefined) refused++;
    check(code === undefined || code === "ENOSPC", `${name}: ${mib} MiB acknowledged, then ${code ?? "no error"}`);
  }
  const total = sum(acknowledged.values());
  check(refused > 0, `${total} MiB of ${offlineMiB} were acknowledged, and ${refused} files met ENOSPC`);
  check(total <= most && total >= most - 2, "that is as much as df showed");
  check(stateMiB(a) <= offlineLimit + BESIDE_MIB, `the state takes ${stateMiB(a)} MiB`);
  const free = statfsSync(a.dir);
  check(free.bavail * free.bsize <= 2 * MiB, "df shows nothing left");

  // At the limit, calls that free space or need none work.
  const last = [...acknowledged.keys()].at(-1) ?? "";
  renameSync(join(a.dir, last), join(a.dir, "renamed"));
  acknowledged.set("renamed", acknowledged.get(last) ?? 0);
  acknowledged.delete(last);
  const cut = openSync(join(a.dir, "renamed"), "r+");
  ftruncateSync(cut, MiB);
  closeSync(cut);
  acknowledged.set("renamed", 1);
  const removed = [...acknowledged.keys()].at(-2) ?? "";
  acknowledged.delete(removed);
  rmSync(join(a.dir, removed));
  await until(() => writesMiB(join(a.dir, "after")), 5_000, "room after a removal", 50);
  check(true, "renaming, truncating and removing work at the limit, and a removal makes room");
  rmSync(join(a.dir, "after"));

  await a.kill9();
  a.mount();
  const firstOf = (name: string) => (name === "renamed" ? last : name).slice(1);
  const isThere = (name: string, mib: number) => {
    return holds(join(a.dir, name), mib, Number(firstOf(name)) * FILE_MIB);
  };
  check(
    [...acknowledged].every(([name, mib]) => isThere(name, mib)),
    "after kill -9 and a new mount every acknowledged byte is there",
  );
  await back?.();
  await until(() => a.flush({ expect: [0, 3, 6] }).published, 600_000, "everything to be published", 200);
  check(
    [...acknowledged].every(([name, mib]) => isThere(name, mib)),
    "once published, too",
  );
  for (const name of acknowledged.keys()) rmSync(join(a.dir, name));
  a.unmount();
}

async function online(): Promise<void> {
  const a = agent(space, "online", url, { args: ["--cache-size", `${onlineLimit}MiB`] });
  const single = Math.ceil(onlineMiB / 2);
  let most = 0;
  const noted = () => void (most = Math.max(most, stateMiB(a)));
  const beganMs = performance.now();
  const one = write(join(a.dir, "single"), single, 0, noted);
  check(
    one.code === undefined && one.mib === single,
    `writing one open file of ${single} MiB: ${one.code ?? "no error"}`,
  );
  for (let first = single; first < onlineMiB; first += FILE_MIB) {
    const mib = Math.min(FILE_MIB, onlineMiB - first);
    const { code } = write(join(a.dir, `f${first}`), mib, first, noted);
    check(code === undefined, `writing f${first}: ${code ?? "no error"}`);
  }
  const took = ((performance.now() - beganMs) / 1000).toFixed(1);
  report(`${onlineMiB} MiB in ${took} s; the state took ${most} MiB at most`);
  check(
    most <= onlineLimit + BESIDE_MIB,
    `that is at most the limit of ${onlineLimit} MiB and ${BESIDE_MIB} MiB beside it`,
  );
  await until(() => a.flush({ expect: [0, 3] }).published, 600_000, "everything to be published", 200);
  check(holds(join(a.dir, "single"), single, 0), "the open file has all its bytes");
  for (let first = single; first < onlineMiB; first += FILE_MIB) {
    const mib = Math.min(FILE_MIB, onlineMiB - first);
    check(holds(join(a.dir, `f${first}`), mib, first), `f${first} has all its bytes`);
  }
  a.unmount();
}

/** Writes MiBs in order, until an error. */
function write(path: string, mib: number, first: number, each: () => void = () => {}) {
  const file = openSync(path, "w");
  let done = 0;
  try {
    for (; done < mib; done++) {
      writeWhole(file, contents(first + done));
      if (done % 16 === 0) each();
    }
    return { mib: done, code: undefined };
  } catch (error) {
    return { mib: done, code: systemCodeOf(error) };
  } finally {
    closeSync(file);
  }
}

function writeWhole(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
}

/** Whether a file has these MiBs. A refused write may have left part of another one. */
function holds(path: string, mib: number, first: number): boolean {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(MiB);
    for (let each = 0; each < mib; each++) {
      let got = 0;
      for (let more; got < MiB && (more = readSync(file, bytes, got, MiB - got, each * MiB + got)) > 0;) got += more;
      if (got < MiB || !bytes.equals(contents(first + each))) return false;
    }
    return fstatSync(file).size < (mib + 1) * MiB;
  } finally {
    closeSync(file);
  }
}

/** Contents that differ for each index, and are cheap to make. */
function contents(index: number): Buffer {
  const bytes = Buffer.from(noise);
  for (let at = 0; at < MiB; at += 64 * 1024) bytes.writeUInt32LE(index, at + 4 * (index % 1024));
  return bytes;
}

function writesMiB(path: string): boolean {
  const { mib } = write(path, 1, 0);
  return mib === 1;
}

/** What the state takes on the disk, in MiB: data files and cached blocks. */
function stateMiB({ state }: AgentHandle): number {
  const folders = readdirSync(state, { withFileTypes: true }).filter((each) => each.isDirectory());
  const sizes = folders.flatMap(({ name }) => [join(state, name, "data"), join(state, name, "cache")].map(folderBytes));
  return Math.ceil(sum(sizes) / MiB);
}

function folderBytes(path: string): number {
  if (!existsSync(path)) return 0;
  return sum(
    readdirSync(path).map((name) => (statSync(join(path, name), { throwIfNoEntry: false })?.blocks ?? 0) * 512),
  );
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const each of numbers) total += each;
  return total;
}
