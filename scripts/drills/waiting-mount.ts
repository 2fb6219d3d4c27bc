/**
 * A mount with many unpublished files is up soon after a start, and continues publishing. Its agent is killed while the bucket is
 * unreachable. It starts again twice: while the bucket is still unreachable, and once it is back. The time measured is that from
 * the command to the end of the first listing of the mount's root.
 *   node scripts/drills/waiting-mount.ts [FILES=100000] [--master] [--untimed]
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import type { AgentStatus } from "../../src/agent/reports.ts";
import { agent, check, join, report, storage, syncline, until, workspace } from "./lib.ts";

const MOST_MS = 2_000;
const PER_DIRECTORY = 1_000;

const space = workspace("waiting-mount");
const { url, rest, away, back } = await storage(space);
const files = Number(rest.find((arg) => /^\d+$/.test(arg)) ?? 100_000);
syncline(space, ["init", url]);
const a = agent(space, "a", url);
await away?.();

const beganMs = performance.now();
for (let each = 0; each < files; each++) {
  const directory = join(a.dir, `d${Math.floor(each / PER_DIRECTORY)}`);
  if (each % PER_DIRECTORY === 0) mkdirSync(directory);
  writeFileSync(join(directory, `f${each}`), `file ${each}\n`);
}
report(`${files} files made in ${Math.round(performance.now() - beganMs)} ms`);
check(a.status().pending.files >= files, `all of them are pending: ${JSON.stringify(a.status().pending)}`);

await a.kill9();
up("while the bucket is away");
check(a.status().pending.files >= files, "all of them are still pending");
await a.kill9();
await back?.();
up("with the bucket back");
await until(isPublished, 600_000, "all files to be published", 200);
check(true, "everything is published");
a.unmount();
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");

/** On a busy machine, the thread that builds an epoch of this size may answer late. */
function isPublished(): boolean {
  const asked = syncline(space, ["status", a.dir, "--json", "--state", a.state], { expect: [0, 6] });
  return asked.json<{ agents: AgentStatus[] }>().agents[0]?.pending.files === 0;
}

function up(when: string): void {
  const startMs = performance.now();
  syncline(space, ["mount", url, a.dir, "--background", "--state", a.state]);
  const names = readdirSync(a.dir).length;
  const tookMs = Math.round(performance.now() - startMs);
  space.pids.add((a.pid = a.status().pid));
  check(
    names === Math.ceil(files / PER_DIRECTORY),
    `${when}, ${names} names are listed ${tookMs} ms after the command`,
  );
  if (!rest.includes("--untimed")) check(tookMs <= MOST_MS, `that is at most ${MOST_MS} ms`);
}
