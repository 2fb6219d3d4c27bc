/**
 * The drills of scripts/drills as claims: real processes, real mounts. Small here, full size with SYNCLINE_TEST_ALL.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { postgresHere } from "../support/postgres-server.ts";
import { programOf } from "../support/s3-server.ts";

const all = process.env["SYNCLINE_TEST_ALL"] !== undefined;
const canMount = process.platform === "linux" && process.getuid?.() === 0 && existsSync("/dev/fuse");
const drills = resolve(import.meta.dirname, "../../scripts/drills");

describe.skipIf(!canMount)("drills (Linux, root, /dev/fuse)", () => {
  drill(
    "two agents show the same tree, and git works on both",
    "two-agents.ts",
    all ? [] : ["1"],
    all ? 1_800_000 : 300_000,
  );
  drill(
    "an fsynced file becomes readable on the other agent, and moves and removals appear there too",
    "visibility.ts",
    [all ? "50" : "10", "--untimed"],
  );
  drill(
    "small files read in order are fetched together, and random reads fetch little more than they read",
    "cold-reads.ts",
    all ? ["--untimed"] : ["200", "16", "5", "--untimed"],
    all ? 900_000 : 300_000,
  );
  drill("agents that could not publish lose no version", "offline.ts", []);
  drill(
    "agents that are killed and cut off while working converge on one tree and lose nothing",
    "converge.ts",
    all ? ["60", "4"] : ["6", "3"],
    all ? 900_000 : 300_000,
  );
  drill(
    "killing the agent loses nothing that was acknowledged",
    "kill-9.ts",
    [all ? "20" : "3"],
    all ? 900_000 : 180_000,
  );
  drill(
    "programs in a mount whose agent is killed or upgraded see no error",
    "agent-kills.ts",
    all ? ["50", "20"] : ["6", "2"],
    all ? 900_000 : 180_000,
  );
  drill(
    "before Linux 6.9, too, programs in a mount whose agent is killed see no error",
    "agent-kills.ts",
    [...(all ? ["50", "20"] : ["4", "1"]), "--slots"],
    all ? 900_000 : 180_000,
  );
  if (all)
    drill(
      "a machine syncs again after a sleep or a change of address",
      "network-change.ts",
      ["3", "20", "--untimed"],
      600_000,
    );
  drill("a caught signal interrupts no call, and a fatal one ends the program", "signals.ts", [all ? "1000" : "50"]);
  drill("a program that waits for an unreachable master can be frozen and killed", "freezer.ts", [
    all ? "100" : "2",
    "--untimed",
  ]);
  if (all) drill("PostgreSQL works on a mount and recovers from kill -9", "postgres.ts", ["20"], 600_000);
  drill("a full disk causes ENOSPC or a queue, which drains once there is space", "disk-full.ts", []);
  drill(
    "a write beyond the cache's limit fails with ENOSPC offline and waits online; no acknowledged byte is lost",
    "cache-limit.ts",
    all ? [] : ["96", "32", "96", "24"],
    all ? 900_000 : 180_000,
  );
  drill("a mount with many unpublished files starts quickly and continues publishing", "waiting-mount.ts", [
    all ? "100000" : "2000",
    "--untimed",
  ]);
  drill("two machines share a bucket by following the guide", "second-machine.ts", [], 300_000);
  drill("damage is found, named and healed, and an old root is not adopted", "damage.ts", []);
  drill("every command refuses a bucket that was rolled back or replaced", "put-back.ts", [], 300_000);
  drill("each swap counts as won exactly once, whatever replies are lost", "lost-replies.ts", [all ? "20" : "5"]);
  drill(
    "a master that is stopped and killed during uploads and swaps loses nothing",
    "server-kills.ts",
    [all ? "20" : "3"],
    all ? 1_200_000 : 240_000,
  );
  if (all) {
    drill("two agents show the same tree through a master", "two-agents.ts", ["--master"], 1_800_000);
    drill(
      "an fsynced file becomes readable through a master",
      "visibility.ts",
      ["50", "--master", "--untimed"],
      300_000,
    );
    drill("a collection beside agents removes nothing that they need", "gc.ts", ["15", "4"], 600_000);
    drill("a bucket that its master rolled back or replaced is refused", "put-back.ts", ["--master"], 600_000);
    drill("agents whose master was unreachable lose no version", "offline.ts", ["--master"], 300_000);
  }
  if (all) {
    const claim = "repositories and databases that two agents wrote to stay whole, and so do their copies";
    drill(claim, "units.ts", [], 600_000);
    drill(`${claim}, through a master`, "units.ts", ["--master"], 600_000);
    drill(
      "a database whose writer never stops stays whole, and so does its conflict copy",
      "units-live.ts",
      [],
      600_000,
    );
  }
  if (all) drill("busy mounts leak no file descriptors", "busy-mounts.ts", ["1", "--master"], 600_000);
  if (all) drill("an agent uses no more resources after hours of work than before", "soak.ts", ["15", "3"], 1_500_000);
  if (all) drill("a power cut loses nothing that was fsynced", "power-cut.ts", ["50"], 1_800_000);
  if (all)
    drill("a power cut changes nothing that a synced folder has published", "sync-power-cut.ts", ["20"], 900_000);
});

const hasS3 = programOf("versitygw") !== undefined;
describe.skipIf(!canMount || !hasS3)("drills on S3 without a master (versitygw)", () => {
  for (const form of ["--s3", "--s3=numbered"]) {
    const at = `${form === "--s3" ? "a replaced root" : "numbered roots"}`;
    drill(
      `agents that are killed, and whose server is away, end with one tree and lose nothing: ${at}`,
      "converge.ts",
      [...(all ? ["60", "4"] : ["6", "3"]), form],
      all ? 900_000 : 300_000,
    );
    drill(`each swap is won once, whatever replies are lost: ${at}`, "lost-replies.ts", [all ? "20" : "5", form]);
    drill(
      `a server that is stopped and killed loses nothing that was acknowledged: ${at}`,
      "server-kills.ts",
      [...(all ? ["20", "8"] : ["3"]), form],
      all ? 1_200_000 : 240_000,
    );
    drill(
      `requests stay within their budget: ${at}`,
      "s3-requests.ts",
      [...(all ? ["10000", "120"] : ["1000", "0"]), form],
      all ? 600_000 : 240_000,
    );
    if (!all) continue;
    drill(`processes that put at the same moment all arrive: ${at}`, "racers.ts", ["32", form], 600_000);
    drill(`collecting garbage takes nothing that agents need: ${at}`, "gc.ts", ["15", "4", form], 600_000);
    drill(`killing the agent loses nothing that was answered: ${at}`, "kill-9.ts", ["20", form], 900_000);
    drill(`agents whose server was away lose no version: ${at}`, "offline.ts", [form], 300_000);
    drill(`two agents show the same tree: ${at}`, "two-agents.ts", [form], 1_800_000);
    drill(
      `a power cut of the server loses nothing that was acknowledged: ${at}`,
      "server-kills.ts",
      ["20", "2", form, "--power"],
      1_200_000,
    );
  }
});

describe.skipIf(postgresHere() === undefined || !hasS3)("drills with several masters (PostgreSQL, versitygw)", () => {
  drill(
    "two masters lose no update, and other software on their table is noticed",
    "many-masters.ts",
    all ? [] : ["4", "5"],
    600_000,
  );
  drill(
    "wherever requests and replies are lost or late, each epoch counts once, and nothing acknowledged is missing",
    "lost-answers.ts",
    [all ? "200" : "10"],
    all ? 1_800_000 : 240_000,
  );
  drill(
    "a collector killed at each of its requests takes nothing that is needed, and neither does one beside stopped uploads",
    "collector-kills.ts",
    [all ? "1" : "12"],
    all ? 900_000 : 240_000,
  );
  if (!canMount) return;
  drill(
    "an arbiter, a store and masters that are stopped and killed lose nothing that was acknowledged",
    "server-kills.ts",
    [...(all ? ["20", "8"] : ["4"]), "--masters"],
    all ? 1_800_000 : 300_000,
  );
  drill("a collection of several masters takes nothing that agents need", "gc.ts", ["10", "3", "--masters"], 300_000);
  drill("a restored or promoted PostgreSQL loses nothing that agents had", "arbiter-back.ts", ["5"], 600_000);
  if (!all) return;
  drill("writers go on when their master is cut off, stopped or killed", "failover.ts", [], 900_000);
  drill("many watchers and uploaders are served, in level memory", "watchers.ts", ["120"], 600_000);
  drill("agents of several masters end with one tree", "converge.ts", ["60", "4", "--masters"], 900_000);
  drill("a change through one master is seen at another", "visibility.ts", ["50", "--masters", "--untimed"], 300_000);
});

drill("writing commands survive a master that is killed again and again", "riding-out.ts", all ? [] : ["4"], 600_000);
drill("all files arrive when many processes put at the same moment", "racers.ts", [all ? "32" : "8"], 300_000);
drill("get writes nothing outside its target while links are swapped in", "get-symlinks.ts", [all ? "20" : "2"]);
if (all) drill("a put of very many files resumes after it was killed", "put-portions.ts", [], 900_000);
drill("every call of a master refuses every invalid bearer", "token-table.ts", []);
drill(
  "strangers do not keep an allowed client waiting for seconds",
  "strangers.ts",
  all ? [] : ["3", "8", "--untimed"],
  300_000,
);
drill("mutated requests cause no internal error", "http-fuzz.ts", [all ? "600" : "3"], 900_000);
drill("a master accepts the next root and nothing else", "swap-rules.ts", []);
drill(
  "hostile clients get clear answers, and other clients are served",
  "hostile.ts",
  [all ? "10000" : "200"],
  600_000,
);
if (all)
  drill(
    "hostile WebDAV clients get clear answers, and other clients are served",
    "webdav-hostile.ts",
    ["10000"],
    900_000,
  );
if (all) {
  drill(
    "all files arrive when many processes put to a master at the same moment",
    "racers.ts",
    ["32", "--master"],
    600_000,
  );
  drill("a master that does not compare roots loses updates", "racers.ts", ["16", "--no-cas"], 300_000);
}

function drill(claim: string, script: string, args: readonly string[], timeoutMs = 180_000): void {
  test(claim, { timeout: timeoutMs }, async () => {
    const { status, output } = await run([join(drills, script), ...args]);
    expect(status, output).toBe(0);
  });
}

function run(args: readonly string[]): Promise<{ status: number | null; output: string }> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (data) => (output += String(data)));
  child.stderr.on("data", (data) => (output += String(data)));
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, output })));
}
