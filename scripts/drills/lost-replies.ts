/**
 * A proxy between agent A and its master, or its S3 server, loses replies of swaps, requests, and delivers some late: A counts each swap that took place as
 * won exactly once. History shows every epoch once, nobody sees a conflict copy, and B has all that A wrote.
 *   node scripts/drills/lost-replies.ts [ROUNDS, default 20] [--s3 | --s3=numbered]
 */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import {
  agent,
  check,
  checkHistory,
  checkout,
  commitsOf,
  differences,
  fingerprint,
  join,
  pathIn,
  pidOf,
  report,
  storage,
  syncline,
  until,
  workspace,
} from "./lib.ts";

/** What the proxy tells of a swap. */
interface Fate {
  readonly swap: string;
  readonly status: number | null;
}

const space = workspace("lost-replies");
const stored = await storage(space, { otherwise: "master" });
const rounds = Number(stored.rest[0] ?? 20);
const direct = stored.url;
syncline(space, ["init", direct]);
const { lines, port } = await proxy("pass,reply,request,reply,late");
const cut = direct.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${port}`);
const a = agent(space, "a", cut);
const b = agent(space, "b", direct);
for (let round = 0; round < rounds; round++) {
  writeFileSync(join(a.dir, `a-${round}.txt`), `round ${round}\n`);
  writeFileSync(join(a.dir, "same.txt"), `round ${round}\n`);
  // Now and then the root moves meanwhile.
  if (round % 3 === 0) writeFileSync(join(b.dir, `b-${round}.txt`), `round ${round}\n`);
  const { published, attempts } = a.flush();
  if (!published) check(false, `round ${round} was published (${attempts} attempts)`);
}
for (let index = 0; index < 3; index++) {
  const source = join(space.path, `put-${index}`);
  writeFileSync(source, `put ${index}\n`);
  syncline(space, ["put", source, pathIn(cut, `put-${index}.txt`)]);
}
b.flush();
await until(
  () => a.status().base === b.status().base && a.status().pending.files === 0,
  30_000,
  "one root on both",
  50,
);

const onA = fingerprint(a.dir);
check(differences(onA, fingerprint(b.dir)).length === 0, `one tree on both: ${onA.size} files`);
const expected = rounds + 1 + Math.ceil(rounds / 3) + 3;
check(onA.size === expected, `${expected} files were written`);
check(![...onA.keys()].some((path) => path.includes("(conflict ")), "no conflict copies");
check(readFileSync(join(b.dir, "same.txt"), "utf8") === `round ${rounds - 1}\n`, "the newest version won");
checkHistory(commitsOf(space, direct));
// What the proxy said waits in its pipe while this process waits for commands.
await until(() => lines().length >= rounds + 3, 10_000, "the proxy's account");
const fates = lines().map((line) => JSON.parse(line) as Fate);
const counts = new Map<string, number>();
for (const { swap, status } of fates) {
  const fate = `${swap} → ${status ?? "not asked"}`;
  counts.set(fate, (counts.get(fate) ?? 0) + 1);
}
report([...counts].map(([fate, count]) => `${count} × ${fate}`).join(", "));
check(
  fates.some(({ swap, status }) => swap === "reply" && status === 200),
  "replies were lost of swaps that took place",
);
a.unmount();
b.unmount();
check(syncline(space, ["verify", direct, "--json"]).status === 0, "verify finds nothing");

/** A proxy of its own process: this one waits for commands. */
async function proxy(plan: string) {
  const child = spawn(
    process.execPath,
    [join(checkout, "scripts/drills/cutting-proxy.ts"), /127\.0\.0\.1:(\d+)/.exec(direct)?.[1] ?? "", plan],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  space.pids.add(pidOf(child));
  child.unref();
  if (child.stdout instanceof Socket) child.stdout.unref();
  let told = "";
  child.stdout.on("data", (data: Buffer) => (told += data.toString()));
  const whole = () => told.split("\n").slice(0, -1);
  await until(() => whole().length > 0, 10_000, "the proxy to listen");
  const [first = ""] = whole();
  return { lines: () => whole().slice(1), port: (JSON.parse(first) as { port: number }).port };
}
