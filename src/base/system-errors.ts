/** Errors of the operating system and of SQLite, by code. */
import { constants } from "node:os";

/** Whether a call failed with this system error code ("ENOENT"). */
export function failedWith(error: unknown, ...codes: readonly string[]): boolean {
  const code = systemCodeOf(error);
  return code !== undefined && codes.includes(code);
}

/**
 * An error's code. Node.js has no name for some: "Unknown system error -122" (quota exceeded) becomes EDQUOT. A few calls,
 * `writeSync` among them, name only the number.
 */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error && "code" in error && typeof error.code === "string")) return undefined;
  const number = error.code === "UNKNOWN" && "errno" in error ? error.errno : UNNAMED.exec(error.code)?.[1];
  return NAMES.get(-Number(number)) ?? error.code;
}

const UNNAMED = /^Unknown system error (-\d+)$/;
/** Node.js has no constants for these (Linux: include/uapi/asm-generic/errno.h). */
const LINUX_ONLY = { EUCLEAN: 117, ENOKEY: 126 };
const NUMBERS = { ...constants.errno, ...(process.platform === "linux" && LINUX_ONLY) };
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(NUMBERS).map(([name, code]) => [code, name]));

/** An operating system error, from Node.js, an addon or SQLite. */
export interface SystemError extends Error {
  /** "ENOENT". */
  readonly code: string;
  /** Only from Node.js. */
  readonly syscall?: string;
  readonly path?: unknown;
}

export function isSystemError(error: unknown): error is SystemError {
  const code = systemCodeOf(error);
  return (
    code !== undefined && ((error as object & { syscall?: unknown }).syscall !== undefined || SYSTEM_CODE.test(code))
  );
}

/** Node.js's own codes begin with "ERR_". Of SQLite's, these tell of the disk (https://www.sqlite.org/rescode.html). */
const SYSTEM_CODE =
  /^(E(?!RR_)[A-Z0-9_]+|UNKNOWN|Unknown system error -\d+|SQLITE_(FULL|IOERR|CANTOPEN|READONLY)[A-Z_]*)$/;

/** Codes of a full disk or an exceeded quota, from the system and SQLite. The last: no space for the index of a WAL. */
export const DISK_FULL: readonly string[] = ["ENOSPC", "EDQUOT", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"];

export function isDiskFull(error: unknown): boolean {
  return failedWith(error, ...DISK_FULL);
}

/** Whether a disk answered that it cannot give these bytes: a bad sector, or a file system's checksum that does not match. */
export function isUnreadableSector(error: unknown): boolean {
  return failedWith(error, "EIO", "EBADMSG", "EUCLEAN");
}

/** An error like the system's own. */
export function systemFailure(code: string, what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
