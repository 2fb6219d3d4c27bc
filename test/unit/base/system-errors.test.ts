import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { describe, expect, test } from "vitest";
import { failedWith, isSystemError, systemCodeOf } from "../../../src/base/system-errors.ts";
import { failureOf } from "../../../src/base/failure.ts";
import { errnoOf } from "../../../src/fuse/failure.ts";
import { storageError } from "../../../src/overlay/disk/storage-error.ts";

/** As Node.js tells it of a call. */
function failed(code: string, more: object = {}): Error {
  return Object.assign(new Error(`${code}: it failed`), { code, ...more });
}

describe.runIf(process.platform === "linux")("an exceeded quota, for which Node.js has no name", () => {
  const errno = -constants.errno.EDQUOT;
  /** As most calls tell of it, and as `writeSync` does. */
  const quotas = [getSystemErrorName(errno), "UNKNOWN"].map((code) => failed(code, { errno, syscall: "write" }));

  test.each(quotas)("is named EDQUOT: $code", (quota) => {
    expect(getSystemErrorName(errno)).toBe("Unknown system error -122");
    expect(systemCodeOf(quota)).toBe("EDQUOT");
    expect(failedWith(quota, "EDQUOT")).toBe(true);
  });

  test.each(quotas)("is a full disk to commands, to the state folder and to programs: $code", (quota) => {
    expect(failureOf(quota).code).toBe("disk_full");
    expect(storageError(quota).code).toBe("disk_full");
    expect(errnoOf(new Error("deep", { cause: quota }))).toBe(constants.errno.ENOSPC);
  });
});

test.runIf(process.platform === "linux")("a missing key and a damaged filesystem have their names", () => {
  expect([126, 117].map((number) => systemCodeOf(failed(getSystemErrorName(-number))))).toEqual(["ENOKEY", "EUCLEAN"]);
});

test.each([
  ["SQLITE_FULL", "disk_full"],
  ["SQLITE_IOERR_SHMSIZE", "disk_full"],
  ["SQLITE_IOERR_WRITE", "local_io_failed"],
  ["SQLITE_CANTOPEN", "local_io_failed"],
  ["SQLITE_CORRUPT", "internal"],
  ["SQLITE_ERROR", "internal"],
])("to commands, %s of a database is %s", (code, known) => {
  expect(failureOf(failed(code)).code).toBe(known);
});

test.each([
  failed("ENOENT"),
  failed("EAI_AGAIN"),
  failed("UNKNOWN"),
  failed("Unknown system error -117"),
  failed("ERR_FS_EISDIR", { syscall: "rm" }),
])("a system error: $code", (error) => {
  expect(isSystemError(error)).toBe(true);
  expect(failureOf(error).code).toBe("local_io_failed");
});

test.each([failed("ERR_INVALID_ARG_TYPE"), failed("store_corrupt"), new Error("no code"), "no error"])(
  "not a system error: %s",
  (error) => {
    expect(isSystemError(error)).toBe(false);
    expect(failureOf(error).code).toBe("internal");
  },
);

test("an error of the addon names its path", () => {
  const at = (code: string, message: string) => Object.assign(new Error(message), { code, path: "/srv/photos" });
  const refused = failureOf(at("EACCES", "mkdirat: Permission denied"));
  expect(refused.message).toBe("/srv/photos: mkdirat: Permission denied.");
  const full = failureOf(at("ENOSPC", "write: No space left on device"));
  expect(full.message).toBe("Out of disk space at /srv/photos: write: No space left on device.");
});
