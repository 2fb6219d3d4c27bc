/** What the WebDAV door keeps in files of the agent's state. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fileChecksumStore } from "../../../../src/agent/state/checksum-file.ts";
import { fileLockStore, fileUnfinishedStore } from "../../../../src/agent/state/webdav-state.ts";
import type { FileName } from "../../../../src/base/ids.ts";
import { silentLog } from "../../../../src/base/log.ts";
import type { Lock } from "../../../../src/webdav/locks/locks.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const LOCK: Lock = {
  token: "urn:uuid:1",
  path: ["caf\xc3\xa9" as FileName, "\xff" as FileName],
  isFolder: true,
  isDeep: true,
  isExclusive: false,
  owner: "<D:owner>me</D:owner>",
  user: "laptop",
  timeoutS: 60,
  expiresMs: 1_700_000_000_000,
};

describe("the lock file", () => {
  test("loads what was saved, including names that are not UTF-8, and is readable by its owner only", async () => {
    const path = join(await temporaryFolder(), "webdav-locks.json");
    expect(fileLockStore(path).load()).toEqual([]);
    fileLockStore(path).save([LOCK]);
    expect(fileLockStore(path).load()).toEqual([LOCK]);
    // As versions did that did not keep whether it is a folder's.
    const older = { ...LOCK, isFolder: undefined };
    fileLockStore(path).save([older]);
    expect(fileLockStore(path).load()).toEqual([older]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("that is damaged or of another version counts as empty", async () => {
    const path = join(await temporaryFolder(), "webdav-locks.json");
    fileLockStore(path).save([LOCK]);
    const text = readFileSync(path, "utf8");
    for (const damaged of [
      text.slice(0, -3),
      "",
      "null",
      text.replace('"version":1', '"version":2'),
      text.replace("60", '"x"'),
    ]) {
      writeFileSync(path, damaged);
      expect(fileLockStore(path).load()).toEqual([]);
    }
  });
});

test("unfinished WebDAV work is loaded again: temporary paths, and the names to give back", async () => {
  const path = join(await temporaryFolder(), "webdav-unfinished.json");
  const works = [
    { path: ["d" as FileName, ".~syncline-dav-1" as FileName], was: "\xff" as FileName },
    { path: [".~syncline-dav-2" as FileName], was: undefined },
    { path: [".~syncline-dav-3" as FileName], was: "d" as FileName },
  ];
  fileUnfinishedStore(path).save(works);
  expect(fileUnfinishedStore(path).load()).toEqual(works);
  writeFileSync(path, readFileSync(path, "utf8").replace('"path":["d"', '"path":[7'));
  expect(fileUnfinishedStore(path).load()).toEqual(works.slice(1));
});

describe("the checksum file", () => {
  const known = (index: number) => {
    const digits = index.toString(16);
    return { etag: `"kabc_-2${index}.z"`, text: `SHA1:${digits.padStart(40, "0")} MD5:${digits.padStart(32, "0")}` };
  };
  const store = (path: string) => fileChecksumStore(path, silentLog, 3);

  test("keeps the most recent entries, and is readable by its owner only", async () => {
    const path = join(await temporaryFolder(), "checksums");
    expect(store(path).load()).toEqual([]);
    const first = store(path);
    first.load();
    for (let index = 0; index < 4; index++) first.add(known(index));
    const second = store(path);
    expect(second.load()).toEqual([0, 1, 2, 3].map(known));
    for (let index = 4; index < 8; index++) second.add(known(index));
    expect(store(path).load()).toEqual([3, 4, 5, 6, 7].map(known));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("skips a truncated entry and keeps those after it", async () => {
    const path = join(await temporaryFolder(), "checksums");
    store(path).add(known(1));
    const whole = readFileSync(path, "latin1");
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.slice(0, length));
      store(path).add(known(2));
      const found = store(path).load();
      expect(found.at(-1)).toEqual(known(2));
      // A list of kinds may end at any of them.
      for (const { etag, text } of found.slice(0, -1))
        expect([etag, known(1).text.startsWith(text)]).toEqual([known(1).etag, true]);
    }
  });

  test("causes no failure when it cannot be read or written", async () => {
    const path = await temporaryFolder();
    const broken = store(path);
    expect(broken.load()).toEqual([]);
    broken.add(known(1));
  });
});
