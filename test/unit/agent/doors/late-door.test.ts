/** A door that an agent could not open at once. */
import { expect, test } from "vitest";
import { LateDoor } from "../../../../src/agent/doors/late-door.ts";
import type { OpenDoor } from "../../../../src/agent/doors/door-context.ts";
import { SynclineError } from "../../../../src/base/errors.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const AT = { door: "webdav", url: "http://127.0.0.1:8888/", fingerprint: null } as const;

/** A door whose first `failures` tries to open fail, and the log of what is asked of it. */
function lateDoor(failures: number) {
  const clock = new ManualClock();
  const calls: string[] = [];
  let left = failures;
  const opened: OpenDoor = {
    report: { ...AT, fingerprint: "AB:CD" },
    leave: async (lazy) => void calls.push(`leave ${lazy}`),
    close: async () => void calls.push("close"),
  };
  const open = async () => {
    calls.push("open");
    if (left-- > 0) throw new SynclineError("usage", "Cannot listen on 127.0.0.1, port 8888.");
    return opened;
  };
  return { door: new LateDoor({ report: AT, open, clock, log: silentLog }), clock, calls };
}

test("a door is tried until it opens, and shows its address meanwhile", async () => {
  const { door, clock, calls } = lateDoor(3);
  await door.tried;
  expect([door.report, calls]).toEqual([AT, ["open"]]);
  await clock.advance(60_000);
  expect(calls).toEqual(["open", "open", "open", "open"]);
  expect(door.report).toEqual({ ...AT, fingerprint: "AB:CD" });
  await door.leave(true);
  expect(calls.at(-1)).toBe("leave true");
});

test.each(["leave", "close"] as const)("%s of a door that did not open ends the tries", async (how) => {
  const { door, clock, calls } = lateDoor(Infinity);
  await door.tried;
  await (how === "leave" ? door.leave(false) : door.close());
  await clock.advance(60_000);
  expect([calls, clock.count]).toEqual([["open"], 0]);
});
