/** Reading a log of several pages. */
import { expect, test } from "vitest";
import { type LogEntry, PACK_STATES, type PackLog } from "../../../../src/arbiter/arbiter.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { logPages } from "../../../../src/master/shared/pack-log.ts";

const PAGES = 5;

test("others get a turn between the pages of a log, though the arbiter answers at once", async () => {
  const times = { createdMs: 1, changedMs: 1 };
  const after = async (_: Wallet, from: number) => {
    const pack = String(from).repeat(32);
    const entry: LogEntry = { pack, bytes: 10, rows: 1, state: PACK_STATES.live, position: from + 1, ...times };
    return { era: 1, entries: [entry], more: from + 1 < PAGES, nowMs: 3, position: PAGES };
  };
  const events: string[] = [];
  for await (const entries of logPages({ packs: { after } as unknown as PackLog }, `0x${"11".repeat(20)}` as Wallet)) {
    for (const { position } of entries) events.push(`page ${position}`);
    setImmediate(() => events.push("turn"));
  }
  expect(events).toEqual(["page 1", "turn", "page 2", "turn", "page 3", "turn", "page 4", "turn", "page 5"]);
});
