/** Drills on S3 without a master. */
import { describe } from "vitest";
import { all, canMount, drill, hasS3 } from "../../support/drill.ts";

describe.skipIf(!canMount || !hasS3)("drills on S3 without a master (versitygw)", () => {
  for (const form of ["--s3", "--s3=numbered"]) {
    const at = `${form === "--s3" ? "a replaced root" : "numbered roots"}`;
    drill(`each swap is won once, whatever replies are lost: ${at}`, "lost-replies.ts", [all ? "20" : "3", form]);
    // The forms differ in how a swap is made, which is what the drill above makes fail.
    if (!all && form !== "--s3") continue;
    drill(
      `a server that is stopped and killed loses nothing that was acknowledged: ${at}`,
      "server-kills.ts",
      [...(all ? ["20", "8"] : ["2"]), form],
      all ? 1_200_000 : 240_000,
    );
    drill(
      `requests stay within their budget: ${at}`,
      "s3-requests.ts",
      [...(all ? ["10000", "120"] : ["1000", "0", "50"]), form],
      all ? 600_000 : 240_000,
    );
    if (!all) continue;
    drill(
      `agents that are killed, and whose server is away, end with one tree and lose nothing: ${at}`,
      "converge.ts",
      ["60", "4", form],
      900_000,
    );
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
  if (!all) return;
  drill(
    "writing commands survive an S3 server that is killed again and again",
    "riding-out.ts",
    ["12", "--s3"],
    600_000,
  );
});
