/** A FUSE mount of a filesystem, served on the thread that opens it. */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { ERRNO } from "../base/errno.ts";
import { type ErrorCode, SynclineError } from "../base/errors.ts";
import { describeError } from "../base/log.ts";
import { escapeForPrint } from "../base/names.ts";
import type { FileSystem, Invalidations } from "../vfs/filesystem.ts";
import { type FuseAddon, loadAddon } from "./addon.ts";
import { Door } from "./door.ts";
import { mountByHelper, needsHelper } from "./helper.ts";
import { detachCommand, MNT_DETACH, pathBytes, unmountAt } from "./mount-point.ts";
import { deviceServed, isOnTop, MOUNT_TYPE, placeOf, readMountTable } from "./mount-table.ts";
import { type ChosenOptions, chooseOptions, type FuseOptions } from "./options.ts";
import { type Agreed, type Held, inherited, inheritedLifeline, type Lifeline, superviseMount } from "./supervisor.ts";

export type MountEnd = "unmounted" | "aborted";

export interface FuseMount {
  /** Resolves once the kernel has agreed. Rejects with `fuse_unavailable` if it does not. */
  readonly ready: Promise<void>;
  /** Resolves once the mount has ended, for any reason. */
  readonly ended: Promise<MountEnd>;
  /** Whether a supervisor would start another process to go on if this one ended. */
  readonly isReplaceable: boolean;
  /** Tells the kernel what others changed. */
  invalidate(changes: Invalidations): void;
  /** As umount(8): "busy" when something uses or covers the mount. `ended` follows, later if another namespace has a copy of it. */
  unmount(): Promise<"unmounted" | "busy">;
  /** As umount -l: detached from the tree now. Open files are still served; `ended` comes with the last close. */
  detach(): Promise<void>;
  /** Where it is mounted now: programs may rename directories above it. */
  where(): Promise<string>;
  /**
   * Ends it: first takes, for two seconds at most, what programs stored in shared mappings. Then detaches, and fails calls in
   * flight.
   */
  close(): Promise<void>;
}

/**
 * Mounts `fs` and serves it on this thread's event loop, which must never block on the mount itself. Throws
 * `fuse_unavailable`, `no_such_path`, `not_a_directory`.
 */
export function serveFuse(fs: FileSystem, given: FuseOptions): FuseMount {
  const options = chooseOptions(given);
  const addon = loadAddon();
  const mountPoint = pathBytes(resolve(options.mountPoint));
  if (options.supervision?.handoff !== undefined) {
    const lifeline = inheritedLifeline(addon, options.supervision);
    return new ServedMount(addon, inherited(addon), mountPoint, fs, options, lifeline);
  }
  const device = needsHelper()
    ? mountByHelper(addon, { ...options, mountPoint: resolve(options.mountPoint) })
    : mountHere(addon, mountPoint, options);
  try {
    const held = { device, memory: addon.createMountMemory() };
    const lifeline = superviseMount(addon, held, mountPoint, options.supervision, options.log);
    return new ServedMount(addon, held, mountPoint, fs, options, lifeline);
  } catch (error) {
    void unmountAt(addon, mountPoint, MNT_DETACH);
    throw error;
  }
}

/** Mounts as root. */
function mountHere(addon: FuseAddon, mountPoint: string, options: ChosenOptions): number {
  const device = openDevice(addon);
  try {
    const flags = MS_NOSUID | MS_NODEV | (options.readOnly ? MS_RDONLY : 0) | (options.noexec ? MS_NOEXEC : 0);
    addon.mount(pathBytes(options.source), mountPoint, MOUNT_TYPE, flags, mountData(device));
  } catch (cause) {
    addon.close(device);
    throw mountFailure(cause, options.mountPoint);
  }
  return device;
}

class ServedMount implements FuseMount {
  readonly #ready: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #ended: PromiseWithResolvers<MountEnd> = Promise.withResolvers();
  readonly #addon: FuseAddon;
  readonly #descriptor: number;
  readonly #mountPoint: string;
  readonly #options: ChosenOptions;
  readonly #door: Door;
  /** As in the mount table; known once the mount is ready. */
  #device: string | undefined;
  readonly #lifeline: Lifeline;
  #isSupervised = false;
  #hasEnded = false;

  constructor(
    addon: FuseAddon,
    held: Held,
    mountPoint: string,
    fs: FileSystem,
    options: ChosenOptions,
    lifeline: Lifeline,
  ) {
    this.#addon = addon;
    this.#descriptor = held.device;
    this.#mountPoint = Buffer.from(mountPoint, "latin1").toString("utf8");
    this.#options = options;
    this.#lifeline = lifeline;
    // A caller may wait for `ended` alone.
    this.#ready.promise.catch(() => {});
    this.#door = new Door(addon, held, fs, options, {
      ready: (agreed) => {
        if (this.#door.isReplaceable) this.#supervise(agreed);
        void this.#begin();
      },
      ended: (errno, reason) => this.#end(errno, reason),
    });
    addon.close(held.memory);
  }

  get isReplaceable(): boolean {
    return this.#isSupervised && this.#lifeline.isHeld && !this.#hasEnded;
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get ended(): Promise<MountEnd> {
    return this.#ended.promise;
  }

  invalidate(changes: Invalidations): void {
    if (!this.#hasEnded) this.#door.invalidate(changes);
  }

  async unmount(): Promise<"unmounted" | "busy"> {
    const place = await this.#place();
    if (place === undefined) return "unmounted";
    if (!place.isOnTop) return "busy";
    const errno = await unmountAt(this.#addon, pathBytes(place.mountPoint), 0);
    if (errno === ERRNO.EBUSY) return "busy";
    if (errno !== 0 && !this.#hasEnded) throw unmountFailure(errno, place.mountPoint);
    return "unmounted";
  }

  async detach(): Promise<void> {
    const place = await this.#place();
    if (place?.isOnTop !== true) return;
    const errno = await unmountAt(this.#addon, pathBytes(place.mountPoint), MNT_DETACH);
    if (errno !== 0 && !this.#hasEnded) throw unmountFailure(errno, place.mountPoint);
  }

  async where(): Promise<string> {
    return (await this.#place())?.mountPoint ?? this.#mountPoint;
  }

  async close(): Promise<void> {
    try {
      await this.#writeBack();
      await this.detach();
    } finally {
      this.#end(ERRNO.ENODEV);
    }
  }

  /**
   * Pages that a program has mapped would be lost with the device. A supervisor of an older version would keep the device, and
   * with it a write-back that does not end.
   */
  async #writeBack(): Promise<void> {
    const { supervision } = this.#options;
    if (supervision?.handoff !== undefined && supervision.place.connection === "") return;
    const place = await this.#place();
    if (place?.isOnTop !== true) return;
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + WRITE_BACK_MS;
    for (let leftMs = WRITE_BACK_MS; leftMs > 0; leftMs = endMs - clock.monotonicMs()) {
      const before = this.#door.writeBacks;
      const giveUp = new AbortController();
      const late = clock.sleep(leftMs, giveUp.signal).catch(() => {});
      await Promise.race([this.#addon.writeBack(pathBytes(place.mountPoint)), late]);
      giveUp.abort();
      // If no write came before our own request, none is under way.
      if (this.#door.writeBacks === before) return;
    }
  }

  #supervise(agreed: Agreed): void {
    this.#lifeline.ready(agreed);
    this.#isSupervised = true;
  }

  async #begin(): Promise<void> {
    try {
      this.#device = (await deviceServed(this.#descriptor)) ?? (await this.#topDevice());
      this.#door.device = this.#device;
      if (this.#device !== undefined && !needsHelper()) await setReadAhead(this.#device, this.#options.readAheadBytes);
    } catch (error) {
      this.#options.log.warn("read-ahead stays at the kernel's default", { error: describeError(error) });
    }
    this.#ready.resolve();
  }

  /** The device of the mount on top at the mount point, if it is of our type. */
  async #topDevice(): Promise<string | undefined> {
    const top = (await readMountTable()).findLast((mount) => mount.mountPoint === this.#mountPoint);
    return top?.type === MOUNT_TYPE ? top.device : undefined;
  }

  /** Where it is in the tree. `isOnTop`: an unmount there would reach it. Undefined: nowhere. */
  async #place(): Promise<{ mountPoint: string; isOnTop: boolean } | undefined> {
    const device = this.#device ?? (await this.#topDevice());
    if (this.#hasEnded || device === undefined) return undefined;
    const table = await readMountTable();
    const own = placeOf(table, device, this.#mountPoint);
    return own && { mountPoint: own.mountPoint, isOnTop: isOnTop(table, own) };
  }

  #end(errno: number, reason?: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#door.close();
    this.#lifeline[Symbol.dispose]();
    if (this.#options.supervision?.handoff !== undefined && errno === ERRNO.ENODEV) {
      // Programs used the mount before this agent took it over. It was unmounted, so the agent publishes what is left and ends.
      this.#ready.resolve();
    } else {
      const why = reason ?? `the mount ended before it was ready (error ${errno})`;
      this.#ready.reject(
        new SynclineError("fuse_unavailable", `Mounting failed: ${why}.`, { hint: "Linux 5.10 or newer is needed." }),
      );
    }
    this.#ended.resolve(errno === ERRNO.ENODEV ? "unmounted" : "aborted");
  }
}

/** The kernel accepts at most its default (128 KiB) from INIT; the device's own setting allows more. */
async function setReadAhead(device: string, bytes: number): Promise<void> {
  await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, String(bytes / 1024));
}

/** The bucket may be out of reach, and a program may store without a pause. */
const WRITE_BACK_MS = 2_000;

/** mount(2) flags. */
const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;

/** Options of fuse (mount.fuse(8)): the kernel checks permissions by the reported modes. */
function mountData(device: number): string {
  return `fd=${device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions`;
}

function openDevice(addon: FuseAddon): number {
  try {
    return addon.openDevice();
  } catch (cause) {
    throw new SynclineError("fuse_unavailable", `FUSE is not available here: ${describeError(cause)}`, {
      hint: "Load the kernel module (modprobe fuse). In a container, give it /dev/fuse and CAP_SYS_ADMIN.",
      cause,
    });
  }
}

function mountFailure(cause: unknown, mountPoint: string): SynclineError {
  const errno = (cause as { errno?: unknown }).errno;
  const codes = new Map<unknown, ErrorCode>([
    [ERRNO.ENOENT, "no_such_path"],
    [ERRNO.ENOTDIR, "not_a_directory"],
  ]);
  const code = codes.get(errno) ?? "fuse_unavailable";
  return new SynclineError(code, `Cannot mount on ${escapeForPrint(mountPoint)}: ${describeError(cause)}`, {
    ...(code === "fuse_unavailable" && {
      hint: "Mounting as root needs CAP_SYS_ADMIN, which this process lacks: see the container's settings.",
    }),
    cause,
  });
}

function unmountFailure(errno: number, mountPoint: string): SynclineError {
  return new SynclineError("mount_busy", `Cannot unmount ${escapeForPrint(mountPoint)} (error ${errno}).`, {
    hint: `See what uses it: fuser -vm DIR. To detach the mount at once: ${detachCommand("DIR")}.`,
  });
}
