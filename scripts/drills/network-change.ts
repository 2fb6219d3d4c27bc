/**
 * A machine loses its network and gets it back: with the same address, with another one, or with another one after a sleep (its
 * processes are stopped meanwhile). Measures how long after that its changes leave and others' arrive. The master runs in a
 * network namespace of its own. Needs Linux, root, iproute2 and nftables.
 *   node scripts/drills/network-change.ts [ROUNDS of each, default 3] [AWAY, seconds, default 20] [--untimed]
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import {
  agent,
  check,
  checkout,
  join,
  kill,
  master,
  mkdirSync,
  pathIn,
  pause,
  report,
  run,
  syncline,
  until,
  workspace,
} from "./lib.ts";
import { skip } from "./shared-masters.ts";
import { supervisorOf } from "../../test/support/supervisor.ts";

const KINDS = ["the same address", "another address", "asleep, another address"] as const;
type Kind = (typeof KINDS)[number];

const MOST_MS = 10_000;
const [rounds, awayS] = [Number(process.argv[2] ?? 3), Number(process.argv[3] ?? 20)];
const isTimed = !process.argv.includes("--untimed");
const space = workspace("network-change");
if (spawnSync("nft", ["--version"]).error !== undefined) skip("nftables is not installed");
const bridge = `sn${process.pid}`;
const namespace = `syncline-${process.pid}`;
let address = 0;
connect();
space.env["SYNCLINE_INSECURE"] = "true";
const within = ["ip", "netns", "exec", namespace];
const server = await master(space, { host: "203.0.113.2", within });
const url = server.url();
syncline(space, ["init", url]);
const a = agent(space, "a", url);
const source = join(space.path, "source");
mkdirSync(join(a.dir, "left"));
a.flush();
const worst = new Map<Kind, number>();

for (let round = 0; round < rounds; round++)
  for (const kind of KINDS) await change(kind, `${round}-${KINDS.indexOf(kind)}`);
for (const [kind, ms] of worst) {
  // If only packets were lost, TCP decides when it sends again, so that case is not judged.
  const isJudged = isTimed && kind !== "the same address";
  check(!isJudged || ms <= MOST_MS, `${kind}: synced again after at most ${(ms / 1_000).toFixed(1)} s`);
}
a.unmount();
check(syncline(space, ["verify", url]).status === 0, "verify finds nothing");
process.exit(0);

async function change(kind: Kind, name: string): Promise<void> {
  const processes = [a.status().pid, supervisorOf(a.status().pid)].filter((pid) => pid !== undefined);
  const isAsleep = kind.startsWith("asleep");
  // Packets are dropped silently, as in a network that is gone.
  run("nft", [
    `table inet ${bridge} { chain out { type filter hook output priority 0; oifname ${bridge} drop; }; chain in { type filter hook input priority 0; iifname ${bridge} drop; }; }`,
  ]);
  writeFileSync(join(a.dir, `left/${name}`), name);
  if (isAsleep) for (const pid of processes) kill(pid, "SIGSTOP");
  writeFileSync(source, name);
  // From the master's own machine, which still reaches it.
  const put = [process.execPath, join(checkout, "dist/main.js"), "put", source, pathIn(url, `arrived/${name}`)];
  run("ip", [...within.slice(1), ...put], { env: space.env });
  await pause(awayS * 1_000);
  if (kind !== "the same address") move();
  run("nft", ["delete", "table", "inet", bridge]);
  const began = performance.now();
  if (isAsleep) for (const pid of processes) kill(pid, "SIGCONT");
  await Promise.all([
    until(() => existsSync(join(a.dir, `arrived/${name}`)), 120_000, "the other machine's change", 50),
    until(() => a.status().pending.files === 0, 120_000, "our change to be published", 200),
  ]);
  const ms = performance.now() - began;
  report(`      ${kind}: ${(ms / 1_000).toFixed(1)} s`);
  worst.set(kind, Math.max(worst.get(kind) ?? 0, ms));
  if (readdirSync(join(a.dir, "left")).length === 0) check(false, "our files are there");
}

/** Connects this machine with the master's namespace. */
function connect(): void {
  run("ip", ["link", "add", bridge, "type", "bridge"]);
  space.cleanups.push(() => run("ip", ["link", "del", bridge]));
  run("ip", ["link", "set", bridge, "up"]);
  move();
  run("ip", ["netns", "add", namespace]);
  space.cleanups.push(() => run("ip", ["netns", "del", namespace]));
  run("ip", [
    "link",
    "add",
    `${bridge}v`,
    "master",
    bridge,
    "type",
    "veth",
    "peer",
    "name",
    "eth0",
    "netns",
    namespace,
  ]);
  run("ip", ["link", "set", `${bridge}v`, "up"]);
  const inside = ["netns", "exec", namespace, "ip"];
  run("ip", [...inside, "address", "add", "203.0.113.2/24", "dev", "eth0"]);
  run("ip", [...inside, "link", "set", "eth0", "up"]);
  run("ip", [...inside, "link", "set", "lo", "up"]);
}

/** Gives this machine another address. */
function move(): void {
  const name = (which: number) => `203.0.113.${10 + which}/24`;
  if (address > 0) run("ip", ["address", "del", name(address), "dev", bridge]);
  run("ip", ["address", "add", name(++address), "dev", bridge]);
}
