/**
 * Many processes put one file each at the same moment: all files arrive, history stays linear.
 *   node scripts/drills/racers.ts [PROCESSES, default 32] [--master | --masters | --s3 | --s3=numbered]
 * With --no-cas against a master that does not compare roots: files get lost, which is what comparing prevents.
 *   node scripts/drills/racers.ts 8 --no-cas
 */
import { writeFileSync } from "node:fs";
import {
  check,
  checkHistory,
  commitsOf,
  join,
  master,
  pathIn,
  percentile,
  report,
  start,
  storage,
  syncline,
  workspace,
} from "./lib.ts";

const space = workspace("racers");
const comparing = !process.argv.includes("--no-cas");
const { url, rest } = comparing
  ? await storage(space)
  : { url: (await master(space, { args: ["--unsafe-no-cas"] })).url(), rest: process.argv.slice(2) };
const racers = Number(rest[0] ?? 32);
syncline(space, ["init", url]);
const ended = await Promise.all(
  Array.from({ length: racers }, (_, racer) => {
    const source = join(space.path, `source-${racer}`);
    writeFileSync(source, `racer ${racer}\n`);
    return start(space, ["put", source, pathIn(url, `racer-${racer}.txt`), "--json"]);
  }),
);
// Without it, the newest root may not descend from the one that this machine saw last.
const accept = comparing ? [] : ["--accept"];
const listed = syncline(space, ["ls", url, "--json", ...accept]).stdout;
const isListed = (name: string) => listed.includes(`"${name}"`);
const names = Array.from({ length: racers }, (_, racer) => `racer-${racer}.txt`);
if (!comparing) {
  // Who sees the root go back says so and writes nothing; the others were told that their file is there.
  const acknowledged = names.filter((_, racer) => ended[racer]?.status === 0);
  const lost = acknowledged.filter((name) => !isListed(name));
  const of = `${lost.length} of ${acknowledged.length} files that were acknowledged are lost`;
  check(lost.length > 0, `without comparing, ${of}; ${racers - acknowledged.length} puts saw that something is wrong`);
  process.exit(0);
}
for (const { status, stderr } of ended) if (status !== 0) report(stderr);
check(
  ended.every(({ status }) => status === 0),
  `${racers} puts ended with 0`,
);
const last = ended.map(({ stdout }) => stdout.trim().split("\n").at(-1) ?? "");
const attempts = last.map((line) => (JSON.parse(line) as { attempts: number }).attempts);
report(
  `attempts: p50 ${percentile(attempts, 0.5)}, max ${Math.max(...attempts)}, sum ${attempts.reduce((a, b) => a + b)}; slowest process ${(Math.max(...ended.map(({ ms }) => ms)) / 1000).toFixed(1)} s`,
);
check(names.every(isListed), `${racers} files are there`);
for (const [racer, name] of names.entries()) {
  if (syncline(space, ["cat", pathIn(url, name)]).stdout !== `racer ${racer}\n`) check(false, `${name} has its bytes`);
}
checkHistory(commitsOf(space, url));
check(syncline(space, ["verify", url, "--json"]).status === 0, "verify finds nothing");
