/** A folder of packs on a disk that may be away. Its mount point is then an empty folder. */
import { mkdir, readdir, rename, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SqliteArbiter } from "../../../../src/arbiter/sqlite-arbiter.ts";
import { systemClock } from "../../../../src/base/clock.ts";
import type { Wallet } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openMasterObjects } from "../../../../src/master/shared/open-objects.ts";
import { openSharedStorage } from "../../../../src/master/shared/shared-storage.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { noise } from "../../../support/bytes.ts";
import { blockOf } from "../../../support/commit-chain.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const OWNER = `0x${"11".repeat(20)}` as Wallet;
const OTHER = `0x${"22".repeat(20)}` as Wallet;
const away = expect.objectContaining({ code: "store_unreachable" });

test("while the disk is away, nothing is stored in the empty folder, and no pack counts as lost", async () => {
  const dir = join(await temporaryFolder(), "packs");
  const arbiter = new SqliteArbiter("", systemClock);
  const ports = { clock: systemClock, random: systemRandom, log: silentLog, databases: systemDatabases };
  const open = async () => {
    const objects = await openMasterObjects(`file://${dir}`, ports);
    return openSharedStorage({ ...ports, arbiter, objects, cacheDir: undefined });
  };
  const [block, more] = [blockOf("raw", noise(1_000, 1)), blockOf("raw", noise(1_000, 2))];
  await (await (await open()).stores.of(OWNER)).put([block]);
  const storage = await open();
  await rename(dir, `${dir}-away`);
  await mkdir(dir);
  await expect(storage.stores.check?.()).rejects.toThrow(away);
  const blocks = await storage.stores.of(OWNER);
  await expect(blocks.get(block.cid)).rejects.toThrow(away);
  await expect((await storage.stores.of(OTHER)).put([more])).rejects.toThrow(away);
  expect(await readdir(dir)).toEqual([]);
  await rmdir(dir);
  await rename(`${dir}-away`, dir);
  expect(Buffer.compare(await blocks.get(block.cid), block.bytes)).toBe(0);
});
