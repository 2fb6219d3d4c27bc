/** Why a statement failed in PostgreSQL, and what a person can do about it. Chosen by SQLSTATE where the server answered. */
import { type ErrorCode, SynclineError } from "../../base/errors.ts";
import { describeError } from "../../base/log.ts";

/** A connection failed for want of a password. */
export class PasswordMissing extends Error {
  constructor(cause: unknown) {
    super("no password", { cause });
    this.name = "PasswordMissing";
  }
}

/**
 * The code is always `arbiter_unreachable`: a running master serves what it knows and tries again, whatever the reason, since
 * a refused password may be one that is being changed.
 */
export class StatementFailed extends SynclineError {
  /** The server said that it changed nothing, or was never asked. */
  readonly unchanged: boolean;

  /** `address`: without the password. */
  constructor(address: string, cause: unknown, unchanged: boolean) {
    const { message, ...said } = failureAt(address, cause);
    super("arbiter_unreachable", message, { ...said, cause });
    this.unchanged = unchanged;
  }
}

interface Failure {
  readonly ending?: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

function failureAt(address: string, cause: unknown): Failure {
  const said = describeError(cause);
  if (cause instanceof PasswordMissing) {
    const message = "PostgreSQL wants a password.";
    return { ending: "bad_token", message, hint: "Put it into PGPASSWORD, or into ~/.pgpass with mode 600." };
  }
  if (isUnreadableFile(cause)) {
    const hint = "Correct sslrootcert, sslcert or sslkey in the address: each names a file in PEM.";
    return { ending: "config_invalid", message: `${address}: a certificate cannot be read: ${said}`, hint };
  }
  if (cause instanceof Error && cause.message === NO_SSL) {
    const hint = "Turn on ssl in postgresql.conf, or leave sslmode out of the address.";
    return { ending: "config_invalid", message: `${address} does not offer encryption.`, hint };
  }
  const state = sqlStateOf(cause);
  if (state === undefined) {
    const hint = "Check that PostgreSQL runs and can be reached.";
    return { message: `${address} cannot be used: ${said}`, hint };
  }
  const message = `${address} refused: ${said}`;
  const { user, database } = namesIn(address);
  switch (state) {
    case "28P01":
      return { ending: "bad_token", message, hint: "Check the user, and the password in PGPASSWORD or ~/.pgpass." };
    case "28000":
      return { ending: "bad_token", message, hint: UNENCRYPTED.test(said) ? WANTS_SSL : noLogin(user) };
    case "42501": {
      const hint = `Grant this user the rights, or make it the owner: \`ALTER DATABASE ${database} OWNER TO ${user}\`.`;
      return { ending: "bad_token", message, hint };
    }
    case "3D000":
      return { ending: "config_invalid", message, hint: `Create it: \`createdb -O ${user} ${database}\`.` };
    default:
      return { message, hint: "PostgreSQL's log may say more." };
  }
}

const WANTS_SSL =
  "If the server wants encryption, end the address with `?sslmode=verify-full`. Otherwise allow this user in pg_hba.conf.";
const noLogin = (user: string) =>
  `Check the user: \`createuser ${user}\` makes the role, and pg_hba.conf must let it in.`;
/** In the message about a missing line of pg_hba.conf: of PostgreSQL 14 and later, and of earlier ones. */
const UNENCRYPTED = /no encryption|SSL off/;
/** The message of `pg`. */
const NO_SSL = "The server does not support SSL connections";

/** PostgreSQL's code (https://www.postgresql.org/docs/current/errcodes-appendix.html); undefined if it did not answer. */
export function sqlStateOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error) || !("severity" in cause) || !("code" in cause)) return undefined;
  return typeof cause.code === "string" && cause.code.length === 5 ? cause.code : undefined;
}

/** For use in a shell: only plain names. */
function namesIn(address: string): { readonly user: string; readonly database: string } {
  const { username, pathname } = new URL(address);
  const plain = (text: string, instead: string) => (/^\w+$/.test(text) ? text : instead);
  return { user: plain(username, "USER"), database: plain(pathname.slice(1), "DATABASE") };
}

/** For each connection, `pg` reads the files that the address names. */
function isUnreadableFile(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  return ("syscall" in cause && cause.syscall === "open") || ("code" in cause && cause.code === "EISDIR");
}
