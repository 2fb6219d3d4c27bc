/** The order of requests that one agent left unanswered and another one takes over. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run, whyNoAddon } from "../../support/fuse-process.ts";

const OFFSETS = Array.from({ length: 101 }, (_, index) => 8 * index);

/** What the new agent gets: the offsets of writes, and other opcodes. */
async function takenOver(how: "resend" | "keep"): Promise<unknown[]> {
  const kernel = join(import.meta.dirname, "../../support/unanswered.py");
  const agent = join(import.meta.dirname, "../../support/unanswered.mjs");
  const options = how === "resend" ? ["--resent"] : [];
  return JSON.parse(await run("python3", [kernel, ...options, process.execPath, agent, how])) as unknown[];
}

describe.skipIf(whyNoAddon() !== undefined)("requests that an agent left unanswered", () => {
  test("reach the next one before new ones, with the appends to a file in order, if the kernel sends them again", async () => {
    expect(await takenOver("resend")).toEqual(["opcode 3", ...OFFSETS]);
  });

  test("reach the next one with the appends to a file in order, if they were kept in memory", async () => {
    expect(await takenOver("keep")).toEqual(["opcode 3", ...OFFSETS]);
  });
});
