import { expect, test } from "vitest";
import { parseLocks } from "../../../src/fuse/locked-files.ts";

const TABLE = `1: FLOCK  ADVISORY  WRITE 4119 00:2a:11 0 EOF
1: -> FLOCK  ADVISORY  WRITE 4120 00:2a:12 0 EOF
2: POSIX  ADVISORY  READ 1612 00:2a:13 128 128
3: POSIX  ADVISORY  WRITE 1612 00:2a:14 0 EOF
4: OFDLCK ADVISORY  WRITE -1 00:2a:15 0 0
5: FLOCK  ADVISORY  READ 99 00:2a:9007199254740991 0 EOF
6: FLOCK  ADVISORY  WRITE 99 00:2b:16 0 EOF
7: FLOCK  ADVISORY  WRITE 99 08:2a:17 0 EOF
8: LEASE  ACTIVE    READ 99 00:2a:18 0 EOF
nonsense
`;

test("files are locked as a whole or to write, on this mount; shared locks of ranges do not count", () => {
  expect([...parseLocks(TABLE, "0:42")]).toEqual([11, 12, 14, 15, Number.MAX_SAFE_INTEGER]);
  expect([...parseLocks(TABLE, "0:5")]).toEqual([]);
});
