import { join } from "node:path";
import { expect, test } from "vitest";
import { REVOKED_KEPT_S } from "../../../../src/arbiter/arbiter.ts";
import { Revocations } from "../../../../src/master/http/revocations.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const HOUR_S = 3_600;

test("a token stays revoked if the clock was ahead for a while, also at a start, and is forgotten long after it expired", async () => {
  const path = join(await temporaryFolder(), "auth.db");
  const now = 1_800_000_000;
  const ahead = now + 24 * HOUR_S;
  {
    using list = new Revocations(path, now);
    await list.add("stolen", now + HOUR_S, now);
    await list.add("other", ahead + HOUR_S, ahead);
    expect(list.has("stolen")).toBe(true);
  }
  using restarted = new Revocations(path, ahead);
  expect(restarted.has("stolen")).toBe(true);
  await restarted.add("last", now + HOUR_S, now + HOUR_S + REVOKED_KEPT_S);
  expect(restarted.has("stolen")).toBe(false);
});
