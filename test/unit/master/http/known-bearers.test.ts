/** Which bearers a master remembers. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { Bearers, type BearerRules } from "../../../../src/master/http/bearers.ts";

test("only served wallets' tokens are remembered, so strangers' tokens cannot displace them", async () => {
  const served = `0x${"11".repeat(20)}` as Wallet;
  const checked: string[] = [];
  const sessionKey = {
    check: async (text: string) => {
      checked.push(text);
      const wallet = text.startsWith("served") ? served : (`0x${"22".repeat(20)}` as Wallet);
      return { wallet, digest: text, exp: Number.MAX_SAFE_INTEGER };
    },
  } as unknown as BearerRules["sessionKey"];
  const revocations = { has: () => false } as unknown as BearerRules["revocations"];
  const bearers = new Bearers({ allow: new Set([served]), sessionKey, revocations, clock: systemClock });
  for (let round = 0; round < 2; round++) {
    await bearers.checkText("served.a.b");
    await expect(bearers.checkText("stranger.a.b")).rejects.toMatchObject({ code: "wallet_not_allowed" });
  }
  expect(checked).toEqual(["served.a.b", "stranger.a.b", "stranger.a.b"]);
});
