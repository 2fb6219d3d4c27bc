/** Mounts whose owner has a quota at a master: what `df` says, and what gets through once it is used up. */
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { randomBytes } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { walletSigner } from "../../src/crypto/wallet.ts";
import { Workspace } from "../support/syncline.ts";

const space = new Workspace("quota");
afterAll(() => space[Symbol.dispose]());
const MIB = 1024 * 1024;

test(
  "mounts show the quota and what is left of it, and without room publish deletions and show others' changes",
  { timeout: 120_000 },
  async () => {
    const { wallet } = walletSigner(new Uint8Array(32).fill(0x42));
    const serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--data", space.at("data"), "--allow", wallet];
    const master = space.start([...serve, "--quota", "20MiB"]);
    if (master.stdout === null) throw new Error("the master has no output");
    const [line] = (await once(createInterface({ input: master.stdout }), "line")) as [string];
    const url = `${(JSON.parse(line) as { origin: string }).origin}/b`;
    const dir = space.mountPoint("dir");
    space.do("init", url);
    space.mount(url, dir);
    const shown = (at = dir) => {
      const { bsize, blocks, bavail } = statfsSync(at);
      return { total: bsize * blocks, free: bsize * bavail };
    };
    await expect.poll(() => shown().total, { timeout: 30_000 }).toBe(20 * MIB);
    expect(shown().free).toBeGreaterThan(19 * MIB);
    writeFileSync(`${dir}/f`, randomBytes(5 * MIB));
    space.json("flush", dir);
    await expect.poll(() => shown().free, { timeout: 30_000 }).toBeLessThan(15 * MIB);
    expect(shown().free).toBeGreaterThan(14 * MIB);
    const other = space.mountPoint("other");
    space.mount(url, other);
    for (const name of ["g", "h"]) writeFileSync(`${dir}/${name}`, randomBytes(8 * MIB));
    expect(space.run(["flush", dir]).status).toBe(3);
    rmSync(`${dir}/f`);
    writeFileSync(`${other}/theirs`, "x");
    space.json("flush", other);
    await expect.poll(() => existsSync(`${other}/f`), { timeout: 30_000 }).toBe(false);
    await expect.poll(() => existsSync(`${dir}/theirs`), { timeout: 30_000 }).toBe(true);
    for (const at of [dir, other])
      await expect.poll(() => shown(at).free, { message: at, timeout: 30_000 }).toBeLessThan(8 * MIB);
    expect(space.run(["flush", dir]).status).toBe(3);
    // What was sent of either counts until it is collected: there may be no room for the other one alone.
    for (const name of ["g", "h"]) rmSync(`${dir}/${name}`, { force: true });
    space.json("flush", dir);
    await expect.poll(() => readdirSync(other), { timeout: 30_000 }).toEqual(["theirs"]);
    for (const at of [dir, other]) space.do("unmount", at);
  },
);
