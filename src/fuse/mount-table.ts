/** The mounts of this system, from /proc/self/mountinfo (proc_pid_mountinfo(5)). Reading it calls no filesystem. */
import { readFile } from "node:fs/promises";

/** The filesystem type of our mounts. */
export const MOUNT_TYPE = "fuse.syncline";

export interface MountedAt {
  /** Absolute, as text. */
  readonly mountPoint: string;
  /** Such as "fuse.syncline". */
  readonly type: string;
  /** The mounted source, as text: the bucket's address for our mounts. */
  readonly source: string;
  /** "major:minor" of the mount's device, as in /sys/class/bdi. */
  readonly device: string;
}

/** A mount with its relation to others. */
export interface MountEntry extends MountedAt {
  readonly id: string;
  /** The mount that it is mounted in. */
  readonly parent: string;
  /** The directory of its filesystem that it shows. */
  readonly root: string;
  /** The filesystem's options, with their escapes. */
  readonly options: string;
}

/** All mounts, oldest first: of two at one place, the later is on top. */
export async function readMountTable(): Promise<MountEntry[]> {
  return parseMountTable(await readFile("/proc/self/mountinfo", "latin1"));
}

/**
 * The mount of this device: at the usual place if it is there, else where it is now, since programs may rename directories
 * above it, or at the oldest of its bind mounts. Undefined: it was detached.
 */
export function placeOf(table: readonly MountedAt[], device: string, usual: string): MountedAt | undefined {
  const places = table.filter((mount) => mount.type === MOUNT_TYPE && mount.device === device);
  return places.find(({ mountPoint }) => mountPoint === usual) ?? places[0];
}

/** Whether no other mount covers this one's place: an unmount would reach that one. */
export function isOnTop(table: readonly MountedAt[], mount: MountedAt): boolean {
  return table.findLast(({ mountPoint }) => mountPoint === mount.mountPoint) === mount;
}

/** The mounted device that a descriptor of /dev/fuse serves, as `MountedAt.device`. Undefined before Linux 6.16. */
export async function deviceServed(descriptor: number): Promise<string | undefined> {
  const [, number] =
    /^fuse_connection:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${descriptor}`, "latin1")) ?? [];
  return number === undefined ? undefined : `0:${number}`;
}

/** From the file's text, one char a byte. Skips unexpected lines. */
export function parseMountTable(text: string): MountEntry[] {
  return text.split("\n").flatMap((line) => {
    // ID parent major:minor root mountpoint options [optional fields] - type source super-options
    const [before = "", after = ""] = line.split(" - ");
    const [id = "", parent = "", device, root = "", mountPoint] = before.split(" ");
    const [type, source = "", options = ""] = after.split(" ");
    if (device === undefined || mountPoint === undefined || type === undefined || type === "") return [];
    const [at, shown] = [unescapeOctal(mountPoint), unescapeOctal(root)];
    return [{ id, parent, device, root: shown, mountPoint: at, type, source: unescapeOctal(source), options }];
  });
}

/** Space, tab, newline and backslash are written as three octal digits. */
export function unescapeOctal(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
