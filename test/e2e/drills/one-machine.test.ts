/** Drills on mounts of a folder or of one master. */
import { describe } from "vitest";
import { all, canMount, drill } from "../../support/drill.ts";

describe.skipIf(!canMount)("drills (Linux, root, /dev/fuse)", () => {
  drill(
    "two agents show the same tree, and git works on both",
    "two-agents.ts",
    all ? [] : ["0", "30"],
    all ? 1_800_000 : 300_000,
  );
  drill(
    "an fsynced file becomes readable on the other agent, and moves and removals appear there too",
    "visibility.ts",
    [all ? "50" : "10", "--untimed"],
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
    [...(all ? ["50", "20"] : ["2", "1"]), "--slots"],
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
  drill("each swap counts as won exactly once, whatever replies are lost", "lost-replies.ts", [all ? "20" : "3"]);
  if (all) {
    drill(
      "small files read in order are fetched together, and random reads fetch little more than they read",
      "cold-reads.ts",
      ["--untimed"],
      900_000,
    );
    drill(
      "a program that waits for an unreachable master can be frozen and killed",
      "freezer.ts",
      // Of each of four kinds.
      ["25", "--untimed"],
      1_200_000,
    );
    drill(
      "a master that is stopped and killed during uploads and swaps loses nothing",
      "server-kills.ts",
      ["20"],
      1_200_000,
    );
    drill("every command refuses a bucket that was rolled back or replaced", "put-back.ts", [], 300_000);
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
