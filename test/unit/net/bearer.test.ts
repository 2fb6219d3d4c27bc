import { describe, expect, test } from "vitest";
import { SynclineError } from "../../../src/base/errors.ts";
import { checkToken } from "../../../src/crypto/token.ts";
import { walletSigner } from "../../../src/crypto/wallet.ts";
import { masterAccess } from "../../../src/net/access.ts";
import { keptBearer, walletBearer } from "../../../src/net/bearer.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const signer = walletSigner(new Uint8Array(32).fill(0x42));
const secondsOf = (clock: ManualClock) => Number(clock.nowNs() / 1_000_000_000n);

describe("a wallet's bearer", () => {
  test("is one token while it is valid, and is renewed two minutes before it expires", async () => {
    const clock = new ManualClock();
    const bearer = walletBearer(async () => signer, clock);
    const first = await bearer.token();
    await clock.advance(479_000);
    expect(await bearer.token()).toBe(first);
    expect(checkToken(first, secondsOf(clock)).kind).toBe("valid");
    await clock.advance(2_000);
    const second = await bearer.token();
    expect(second).not.toBe(first);
    expect(checkToken(second, secondsOf(clock) + 599)).toMatchObject({
      kind: "valid",
      claims: { wallet: signer.wallet },
    });
  });

  test("opens the wallet on first use, not before", async () => {
    let opened = 0;
    const bearer = walletBearer(async () => {
      opened++;
      return signer;
    }, new ManualClock());
    expect(opened).toBe(0);
    await Promise.all([bearer.token(), bearer.token()]);
    expect(opened).toBe(1);
  });

  test("asks the wallet again after finding it locked", async () => {
    let locked = true;
    const bearer = walletBearer(async () => {
      if (locked) throw new SynclineError("key_locked", "Locked.");
      return signer;
    }, new ManualClock());
    await expect(bearer.token()).rejects.toMatchObject({ code: "key_locked" });
    locked = false;
    await expect(bearer.token()).resolves.toMatch(/^fula-eip712\./);
  });
});

test("a refused token is renewed once, however many calls it was refused for", async () => {
  let made = 0;
  const bearer = keptBearer(new ManualClock(), 1_000, async () => `token ${++made}`);
  expect(await bearer.token()).toBe("token 1");
  for (let call = 0; call < 3; call++) bearer.refused("token 1");
  expect(await bearer.token()).toBe("token 2");
  bearer.refused("token 1");
  expect(await bearer.token()).toBe("token 2");
});

test("each master has its own bearer; a session token is sent as it is", () => {
  const clock = new ManualClock();
  const access = masterAccess({ wallet: async () => signer, clock });
  expect(access.bearer("https://a")).toBe(access.bearer("https://a"));
  expect(access.bearer("https://a")).not.toBe(access.bearer("https://b"));
  const session = masterAccess({ wallet: () => Promise.reject(new Error("asked")), sessionToken: "abc", clock });
  return expect(session.bearer("https://a").token()).resolves.toBe("abc");
});
