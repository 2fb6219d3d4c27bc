/** Drills with several masters on one PostgreSQL and one S3. */
import { describe } from "vitest";
import { all, canMount, drill, hasS3 } from "../../support/drill.ts";
import { postgresHere } from "../../support/postgres-server.ts";

describe.skipIf(postgresHere() === undefined || !hasS3)("drills with several masters (PostgreSQL, versitygw)", () => {
  drill(
    "two masters lose no update, and other software on their table is noticed",
    "many-masters.ts",
    all ? [] : ["4", "3"],
    600_000,
  );
  drill(
    "wherever requests and replies are lost or late, each epoch counts once, and nothing acknowledged is missing",
    "lost-answers.ts",
    [all ? "200" : "1"],
    all ? 1_800_000 : 240_000,
  );
  drill(
    "a collector killed at each of its requests takes nothing that is needed, and neither does one beside stopped uploads",
    "collector-kills.ts",
    [all ? "1" : "60"],
    all ? 900_000 : 240_000,
  );
  if (!canMount) return;
  drill(
    "an arbiter, a store and masters that are stopped and killed lose nothing that was acknowledged",
    "server-kills.ts",
    [...(all ? ["20", "8"] : ["2"]), "--masters"],
    all ? 1_800_000 : 300_000,
  );
  if (!all) return;
  drill("a collection of several masters takes nothing that agents need", "gc.ts", ["10", "3", "--masters"], 300_000);
  drill("a PostgreSQL that goes back loses nothing that agents had", "arbiter-back.ts", ["5"], 600_000);
  drill("writers go on when their master is cut off, stopped or killed", "failover.ts", [], 900_000);
  drill("many watchers and uploaders are served, in level memory", "watchers.ts", ["120"], 600_000);
  drill("agents of several masters end with one tree", "converge.ts", ["60", "4", "--masters"], 900_000);
  drill("a change through one master is seen at another", "visibility.ts", ["50", "--masters", "--untimed"], 300_000);
});
