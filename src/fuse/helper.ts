/**
 * Mounting and unmounting without root. fusermount3(1), of Debian's package fuse3, does both for the user, and passes the
 * device of the new mount through a socket (_FUSE_COMMFD).
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { ERRNO } from "../base/errno.ts";
import { SynclineError } from "../base/errors.ts";
import { orElse } from "../base/unless.ts";
import type { FuseAddon } from "./addon.ts";

const HELPER = "fusermount3";
const SUBTYPE = "syncline";
/** The socket's number in the helper. */
const COMM_FD = 3;

/** Whether this process may not mount by itself. */
export function needsHelper(): boolean {
  return process.geteuid?.() !== 0;
}

export interface HelperMount {
  /** Absolute. */
  readonly mountPoint: string;
  readonly source: string;
  readonly readOnly: boolean;
  readonly noexec: boolean;
}

/** Mounts; returns the device. Throws `fuse_unavailable`, with what the helper says. */
export function mountByHelper(addon: FuseAddon, { mountPoint, source, readOnly, noexec }: HelperMount): number {
  const options = [
    readOnly ? "ro" : "rw",
    "nosuid",
    "nodev",
    ...(noexec ? ["noexec"] : []),
    "default_permissions",
    `subtype=${SUBTYPE}`,
    `fsname=${source.replace(/[\\,]/g, String.raw`\$&`)}`,
    ...(othersAreAllowed(configuration()) ? ["allow_other"] : []),
  ];
  const [ours, theirs] = addon.socketPair();
  try {
    const { status, error, stderr } = spawnSync(HELPER, ["-o", options.join(","), "--", mountPoint], {
      stdio: ["ignore", "ignore", "pipe", theirs],
      env: { ...process.env, _FUSE_COMMFD: String(COMM_FD) },
      encoding: "utf8",
    });
    if (status !== 0) throw refused(error, stderr);
    return addon.receiveDescriptor(ours);
  } finally {
    addon.close(ours);
    addon.close(theirs);
  }
}

/** Unmounts as umount(8) does, or as umount -l if `lazy`. Resolves to 0 or an errno. */
export async function unmountByHelper(mountPoint: string, lazy: boolean): Promise<number> {
  const helper = spawn(HELPER, ["-u", ...(lazy ? ["-z"] : []), "--", mountPoint], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  helper.stderr.on("data", (data: Buffer) => (said += data.toString()));
  const status = await new Promise<number | null>((done) => {
    helper.once("error", () => done(null));
    helper.once("close", done);
  });
  if (status === 0) return 0;
  return /busy/i.test(said) ? ERRNO.EBUSY : ERRNO.EPERM;
}

/** Whether /etc/fuse.conf lets users show a mount to others. */
export function othersAreAllowed(conf: string): boolean {
  return /^\s*user_allow_other\s*$/m.test(conf);
}

function configuration(): string {
  return orElse("", () => readFileSync("/etc/fuse.conf", "utf8"));
}

function refused(error: Error | undefined, said: string): SynclineError {
  const isMissing = (error as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
  const why = isMissing ? `${HELPER} is not installed` : said.trim().replace(/^fusermount3?: /, "") || error?.message;
  const isClosed = /\/dev\/fuse: Permission denied/.test(said);
  return new SynclineError("fuse_unavailable", `Cannot mount as an ordinary user: ${why}`, {
    hint: isClosed
      ? "Let users open the device, as Debian does. As root: chmod 666 /dev/fuse, or add this user to its group."
      : "Without root, mounting needs Debian's package fuse3, and a directory that is yours: `syncline doctor`.",
  });
}
