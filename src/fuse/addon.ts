/** Loads the native addon, or says clearly why it is unavailable. */
import { describeError } from "../base/log.ts";
import { SynclineError } from "../base/errors.ts";
import { type ProcessAddon, loadNative } from "../runtime/native.ts";
import { LAYOUT_VERSION } from "./protocol.ts";

/** What native/addon.cc exports. Paths and names are byte strings. Throws errors with a numeric `errno`. */
export interface FuseAddon extends ProcessAddon {
  readonly layoutVersion: number;
  /** The system's page size, from sysconf(3). */
  readonly pageBytes: number;
  /** A descriptor of /dev/fuse, to be mounted and then served. */
  openDevice(): number;
  /** mount(2). */
  mount(source: string, target: string, type: string, flags: number, data: string): void;
  /** Opens the file that aborts the connection of the mount just made there; the caller owns the descriptor. */
  openAbort(target: string): number;
  /** close(2) of a descriptor that was opened here. */
  close(descriptor: number): void;
  /** Two connected sockets (AF_UNIX). */
  socketPair(): readonly [number, number];
  /** A descriptor that another process sent through this socket, not blocking. Throws if there is none. */
  receiveDescriptor(socket: number): number;
  /** Sends three descriptors through this socket, with an empty line. */
  sendDescriptors(socket: number, first: number, second: number, third: number): void;
  /** Keeps programs that this process starts from inheriting this descriptor. */
  keepFromChildren(descriptor: number): void;
  /** umount2(2), off this thread. Resolves to 0 or an errno. */
  unmount(target: string, flags: number): Promise<number>;
  /**
   * Has the kernel send all dirty pages of shared mappings in this mount, and after them one request more, off this thread.
   * Resolves to 0 or an errno.
   */
  writeBack(target: string): Promise<number>;
  /** Returns a descriptor of memory that outlives this process (native/mount_memory.h), for `serve`. */
  createMountMemory(): number;
  /** Serves `device` on this thread's event loop until `close`. The caller keeps `memory`, and may close it after this call. */
  serve(device: number, memory: number, settings: SessionSettings, handlers: SessionHandlers): Session;
  /** utimensat(2): sets the mtime, of a symlink its own, to whole seconds and nanoseconds beyond them. */
  setModified(path: string, seconds: number, nanoseconds: number): void;
}

export interface SessionSettings {
  readonly attributeTimeoutS: number;
  readonly entryTimeoutS: number;
  readonly negativeTimeoutS: number;
  /** st_blksize of every inode. */
  readonly blockSize: number;
  /** How long the serving thread stays awake for the next request, while one follows another; 0: not at all. */
  readonly spinUs: number;
}

export interface SessionHandlers {
  /**
   * Rows 0 … count − 1 hold requests; their names follow in order. What `flush` did not send becomes EIO at the end. If this
   * throws or is stopped, it is left to the next agent, if there is one.
   */
  onBatch(count: number, ...names: string[]): void;
  /** Watched inodes that the kernel has forgotten. */
  onForgotten(inodes: readonly number[]): void;
  /** The device has ended: ENODEV after an unmount, ECONNABORTED after an abort. `close` must still be called. */
  onEnd(errno: number): void;
}

/** A device being served (native/session.h), and the memory shared with it (protocol.ts). */
export interface Session {
  readonly cells: Float64Array;
  /** The same memory as signed 64-bit integers. */
  readonly times: BigInt64Array;
  /** Requests as read; WRITE and SETXATTR point into it until the batch is over. */
  readonly input: Buffer;
  /** The buffer that replies of kind DATA point into. */
  readonly output: Buffer;
  /** The names of directory entries, one after the other. */
  readonly entryNames: Buffer;
  /** The memory of the open files (open-table.ts). Undefined if an agent of an older version made the mount's memory. */
  readonly opens?: Buffer;
  /** Sends the replies of this batch that are ready. To be called once their changes are in the journal. */
  flush(): void;
  /** Sends the solo row as the reply to a deferred request; false if that request is not waiting. */
  answer(ticket: number): boolean;
  /** Packs the first `count` directory entries into the output at `offset`; the bytes used, at most `limit`. */
  packEntries(count: number, plus: 0 | 1, offset: number, limit: number): number;
  /** Reports the inode to onForgotten once the kernel forgets it. `probe` 1: asks at once whether it knows it. */
  watch(inode: number, probe: 0 | 1): void;
  /** Makes the kernel resend what another process read from the device but did not answer. Linux 6.9. */
  resend(): void;
  /**
   * Replaces `resend` before Linux 6.9: requests stay in the slots until they are answered. Those that another process left
   * there come first.
   */
  keepRequests(): void;
  /** From now on, another process takes over if this one ends without `close`. Calls in flight are left to it. */
  leaveToSupervisor(): void;
  /** Drops the kernel's attributes, pages and listing of an inode. */
  invalidateInode(inode: number): void;
  /** Drops a name. `removed`: the inode whose last name it was, else 0. `isOpen` 1: programs have that inode open. */
  invalidateEntry(parent: number, name: string, removed: number, isOpen: 0 | 1): void;
  /** Has a name looked up again at its next use, without dropping it: mounts on it and overlayfs layers stay. */
  expireEntry(parent: number, name: string): void;
  /**
   * Until `releaseMessages`, a request that waits has the kernel hold locks of this inode: what would wait for them is sent
   * afterwards. Both count.
   */
  holdMessages(inode: number): void;
  releaseMessages(inode: number): void;
  /** Makes the kernel look up every name again. */
  incrementEpoch(): void;
  /** Ends serving: calls in flight fail. */
  close(): void;
}

/** The addon. Throws `fuse_unavailable`. */
export function loadAddon(): FuseAddon {
  if (process.platform !== "linux") {
    throw new SynclineError("fuse_unavailable", `Mounting is not available on ${process.platform}.`, {
      hint: "Mount on Linux. Here, use `syncline webdav`, `syncline sync`, or commands such as put and get.",
    });
  }
  let addon: FuseAddon;
  try {
    addon = loadNative() as FuseAddon;
  } catch (cause) {
    throw new SynclineError("fuse_unavailable", `The FUSE addon cannot be loaded: ${describeError(cause)}`, {
      hint: BUILD_HINT,
      cause,
    });
  }
  if (addon.layoutVersion !== LAYOUT_VERSION) {
    throw new SynclineError("fuse_unavailable", "The FUSE addon was built for another version of syncline.", {
      hint: BUILD_HINT,
    });
  }
  return addon;
}

const BUILD_HINT = "Build it: npm run build:native (it needs g++, make and python3).";
