import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { silentLog } from "../../../../src/base/log.ts";
import { systemRandom } from "../../../../src/base/random.ts";
import { openFolderStorage } from "../../../../src/master/store/folder-storage.ts";
import { systemDatabases } from "../../../../src/objects/databases.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("a disk that cannot be written to is named when the data folder is opened", async () => {
  const dir = await temporaryFolder();
  const open = (): never => {
    throw new Database.SqliteError("unable to open database file", "SQLITE_CANTOPEN");
  };
  const databases = { ...systemDatabases, open };
  const opening = openFolderStorage({ dir, databases, clock: systemClock, random: systemRandom, log: silentLog });
  await expect(opening).rejects.toMatchObject({ code: "store_failed", message: expect.stringContaining(dir) });
});
