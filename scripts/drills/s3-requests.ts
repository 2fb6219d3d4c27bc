/**
 * What a mount of a bucket in S3 asks of its server, since providers bill requests: to mount, for a listing, for one saved edit, for
 * EDITS in a row, for many files copied in, and in an idle minute. Fails above the budget (docs/guide/s3.md).
 *   node scripts/drills/s3-requests.ts [FILES, default 10000] [IDLE SECONDS, default 120; 0: not that part] [EDITS, default 150]
 *     [--s3=numbered]
 */
import { readdirSync, writeFileSync } from "node:fs";
import { agent, check, join, mkdirSync, pause, report, storage, syncline, workspace } from "./lib.ts";

const space = workspace("s3-requests");
if (!process.argv.some((arg) => arg.startsWith("--s3"))) process.argv.push("--s3");
const { url, rest } = await storage(space);
const files = Number(rest[0] ?? 10_000);
const idleS = Number(rest[1] ?? 120);
const edits = Number(rest[2] ?? 150);
// Each swap of a numbered root reads the one before it again.
const again = process.argv.includes("--s3=numbered") ? 1 : 0;
syncline(space, ["init", url]);
const a = agent(space, "a", url);
let before = counts();
report(`to mount: ${text(before)}`);

const work = async (what: string, most: { puts: number; all: number }, run: () => unknown) => {
  await run();
  const now = counts();
  const spent = {
    put: now.put - before.put,
    get: now.get - before.get,
    list: now.list,
    delete: now.delete - before.delete,
  };
  before = now;
  const all = spent.put + spent.get + spent.delete;
  report(`${what}: ${text(spent)}`);
  check(spent.put <= most.puts && all <= most.all, `${what}: at most ${most.puts} PUTs, ${most.all} requests`);
};

await work("ls", { puts: 0, all: 2 }, () => readdirSync(a.dir));
// The first one of a process also tests the server.
await work("the first edit", { puts: 5, all: 20 }, () => edit(0));
// Looks at the root may fall into these two.
await work("one edit", { puts: 2, all: 7 + again }, () => edit(1));
await work(`${edits} edits, one after another`, { puts: Math.round(2.2 * edits), all: (5 + again) * edits }, () => {
  for (let at = 2; at < 2 + edits; at++) edit(at);
});
await work("one edit after them", { puts: 3, all: 8 + again }, () => edit(2 + edits));
await work(`${files} files of 100 B`, { puts: 60, all: 160 }, () => {
  for (let at = 0; at < files; at++) {
    const folder = join(a.dir, `d${Math.floor(at / 500)}`);
    if (at % 500 === 0) mkdirSync(folder);
    writeFileSync(join(folder, `f${at}`), `${at}`.padStart(100, "."));
  }
  a.flush();
});
if (idleS > 0) {
  await pause(60_000);
  before = counts();
  // A look every ten seconds; every minute, one at the newest of numbered roots.
  const looks = Math.ceil(idleS / 10) + Math.ceil(idleS / 60) + 1;
  await work(`${idleS} idle seconds, after a minute of quiet`, { puts: 0, all: looks }, () => pause(idleS * 1_000));
}
check(before.list === 0, "nothing was listed");
a.unmount();

function edit(at: number) {
  writeFileSync(join(a.dir, "edited"), `edit ${at}\n`);
  a.flush();
}

function counts() {
  const { requests } = a.status();
  if (requests === null) throw new Error("no requests are counted");
  return { ...requests };
}

function text({ put, get, list, delete: deleted }: { put: number; get: number; list: number; delete: number }) {
  return `${put} PUT, ${get} GET, ${list} LIST, ${deleted} DELETE`;
}
