/** `mount --limit` at a master. Times are lower bounds: a slow machine only makes them longer. */
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { afterAll, expect, test } from "vitest";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("limit");
afterAll(() => space[Symbol.dispose]());
const KIB = 1024;
/** At 100 KiB per second, 256 KiB take 2.56 s. Bytes worth 0.1 s may come as a burst. */
const LEAST_MS = 2_400;

test("a limited mount publishes and reads no faster than its limit", { timeout: 120_000 }, async () => {
  const { wallet } = walletSigner(new Uint8Array(32).fill(0x42));
  const served = ["--data", space.at("data"), "--allow", wallet];
  const master = space.start(["serve", "--json", "--listen", "127.0.0.1:0", ...served]);
  if (master.stdout === null) throw new Error("the master has no output");
  const [line] = (await once(createInterface({ input: master.stdout }), "line")) as [string];
  const url = `${(JSON.parse(line) as { origin: string }).origin}/b`;
  space.do("init", url);
  const bytes = randomBytes(256 * KIB);

  const one = space.mountPoint("one");
  space.mount(url, one, "--limit", "100KiB");
  writeFileSync(`${one}/f`, bytes);
  expect(msOf(() => space.json("flush", one))).toBeGreaterThan(LEAST_MS);
  space.do("unmount", one);

  const other = space.mountPoint("other");
  space.mount(url, other, "--limit", "100KiB");
  expect(msOf(() => expect(readFileSync(`${other}/f`).equals(bytes)).toBe(true))).toBeGreaterThan(LEAST_MS);
  space.do("unmount", other);
});

function msOf(work: () => void): number {
  const beganMs = performance.now();
  work();
  return performance.now() - beganMs;
}
