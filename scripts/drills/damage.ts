/**
 * A flipped bit in a pack: reading fails with the path in the log, verify names it with exit 8, --repair heals it from an agent's
 * cache. Then an old root put back: the agent stops publishing, keeps serving, says root_rolled_back.
 *   node scripts/drills/damage.ts
 */
import {
  closeSync,
  copyFileSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { agent, check, join, report, syncline, until, workspace } from "./lib.ts";

const space = workspace("damage");
const folder = join(space.path, "bucket");
const url = `file://${folder}`;
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const data = randomBytes(3 << 20);
writeFileSync(join(a.dir, "victim.bin"), data);
writeFileSync(join(a.dir, "other.bin"), randomBytes(1000));
check(a.flush().published, "published");

const needle = data.subarray(1_500_000, 1_500_032);
const object = filesUnder(folder).find((path) => readFileSync(path).includes(needle));
if (object === undefined) throw new Error("no object holds the bytes");
const at = readFileSync(object).indexOf(needle);
flip(object, at);
report(`flipped one bit at ${at} of ${object.slice(folder.length + 1)}`);

// A second agent without a cache must not serve the damage.
const b = agent(space, "b", url);
let code: string | undefined;
try {
  readFileSync(join(b.dir, "victim.bin"));
} catch (error) {
  code = (error as NodeJS.ErrnoException).code;
}
check(code === "EIO", "reading the file fails with EIO");
const log = filesUnder(b.state).find((path) => path.endsWith("agent.log"));
if (log === undefined) throw new Error("the agent keeps no log");
// The answer may come before the log line, which another thread writes.
await until(() => readFileSync(log, "utf8").includes("victim.bin"), 10_000, "the path in the agent's log");
report("ok    the agent's log names the path");
b.unmount();
const verified = syncline(space, ["verify", url, "--json"], { expect: [8] });
check(
  verified.stdout.includes("victim.bin"),
  `verify ends with 8 and names it: ${verified.stdout
    .trim()
    .split("\n")
    .find((line) => line.includes("victim"))}`,
);
const repaired = syncline(space, ["verify", url, "--repair", "--json", "--state", a.state], { expect: [0, 8] });
report(`repair: ${repaired.stdout.trim().split("\n").at(-1)}`);
check(syncline(space, ["verify", url, "--json"]).status === 0, "after --repair verify finds nothing");
const got = join(space.path, "got.bin");
syncline(space, ["get", `${url}/victim.bin`, got]);
check(readFileSync(got).equals(data), "the file is whole again");

copyFileSync(join(folder, "root"), join(space.path, "old-root"));
writeFileSync(join(a.dir, "later.txt"), "later");
check(a.flush().published, "published once more");
copyFileSync(join(space.path, "old-root"), join(folder, "root"));
await until(() => a.status().lastError?.code === "root_rolled_back", 20_000, "the agent to notice the old root", 100);
report(`status: ${JSON.stringify(a.status().lastError)}`);
writeFileSync(join(a.dir, "after.txt"), "after");
check(!a.flush({ expect: [3, 4] }).published, "it does not publish");
check(
  readFileSync(join(a.dir, "later.txt"), "utf8") === "later" &&
    readFileSync(join(a.dir, "after.txt"), "utf8") === "after",
  "it keeps serving",
);
a.unmount({ expect: [3] });

function flip(path: string, offset: number) {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  writeSync(file, byte, 0, 1, offset);
  closeSync(file);
}

function filesUnder(root: string) {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => join(root, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
}
