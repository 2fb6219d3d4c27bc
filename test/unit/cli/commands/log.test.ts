/** `syncline log` in a bucket whose history has a gap. */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Cid } from "../../../../src/base/ids.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openRemote } from "../../../../src/bucket/open-remote.ts";
import { ConflictedBucket, write } from "../../../support/conflicted-bucket.ts";

/** Changes a bit of a block in the bucket's folder. */
async function damage(address: string, cid: Cid): Promise<void> {
  await using remote = await openRemote(address, { clock: systemClock, random: systemRandom });
  const bytes = Buffer.from(await remote.blocks.get(cid));
  const folder = fileURLToPath(address);
  let found = 0;
  for (const name of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const path = join(name.parentPath, name.name);
    const file = readFileSync(path);
    const at = file.indexOf(bytes);
    if (at === -1) continue;
    const fd = openSync(path, "r+");
    writeSync(fd, Buffer.of(file.readUInt8(at + 100) ^ 1), 0, 1, at + 100);
    closeSync(fd);
    found++;
  }
  expect(found).toBeGreaterThan(0);
}

test("log refuses --graph for a path in a bucket, whose history it does not draw", async () => {
  const bucket = await ConflictedBucket.create();
  expect(await bucket.run("log", `${bucket.address}/a`, "--graph")).toMatchObject({ status: 2 });
});

test("log goes on behind a damaged commit, and says that it is damaged and what may help", async () => {
  const bucket = await ConflictedBucket.create();
  const roots: string[] = [];
  for (const text of ["1", "12", "123", "1234"]) roots.push(...(await bucket.edit(write("a", text))));
  await damage(bucket.address, roots[1] as Cid);
  const gap = { root: roots[1], seq: 3, lost: true, hint: expect.stringContaining("syncline verify --repair") };
  const [all, one] = [await bucket.json("log", bucket.address), await bucket.json("log", `${bucket.address}/a`)];
  expect(all.map(({ seq }) => seq)).toEqual([5, 4, 3, 2, 1]);
  expect(all[2]).toEqual(gap);
  expect(all[1]).toMatchObject({ changes: null });
  expect(one.map(({ seq, change }) => `${seq} ${change}`)).toEqual([
    "5 changed",
    "4 changed",
    "3 undefined",
    "2 created",
  ]);
  expect(one[2]).toEqual(gap);
  for (const args of [[bucket.address], [bucket.address, "--graph"], [`${bucket.address}/a`]]) {
    const { out } = await bucket.run("log", ...args);
    expect(out).toMatch(new RegExp(`^${roots[1]}  seq 3  lost or damaged  .*syncline verify --repair`, "m"));
  }
  expect(await bucket.run("log", `${bucket.address}/never`)).toMatchObject({
    status: 8,
    err: expect.stringMatching(/can be read .*syncline verify --repair/s),
  });
});
