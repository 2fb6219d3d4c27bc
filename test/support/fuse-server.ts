/**
 * A process that mounts a memory filesystem, so that a test may block on the mount.
 *
 * Takes the mount point as its argument; then executes messages (fuse-process.ts) and answers each.
 */
import { readdirSync, readFileSync } from "node:fs";
import { ERRNO } from "../../src/base/errno.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { Cid, FileName, Ino } from "../../src/base/ids.ts";
import { createLineLog } from "../../src/base/log.ts";
import { BlockMiss } from "../../src/blocks/block-store.ts";
import { prepareMountPoint } from "../../src/fuse/mount-point.ts";
import { serveFuse } from "../../src/fuse/mount.ts";
import type { FuseOptions } from "../../src/fuse/options.ts";
import { FsError, type Invalidations } from "../../src/vfs/filesystem.ts";
import { MemoryFileSystem } from "./memory-filesystem.ts";

/** A test's requests. */
export type Order =
  | {
      readonly do:
        | "unmount"
        | "detach"
        | "close"
        | "inodes"
        | "orphans"
        | "release-blocks"
        /** From now on no fsync returns. */
        | "withhold-syncs"
        | "pause-changes"
        /** The next write waits for 50 ms, as one that back-pressure holds up. */
        | "pause-write"
        | "resume-changes"
        | "peak-memory"
        | "stalled"
        /** Gets killed during the next mkdir, while a message to the kernel waits for the parent directory. */
        | "die-in-make-directory";
    }
  /** From now on each call misses blocks for this time, and each fsync takes this long. */
  | { readonly do: "slow-down"; readonly ms: number }
  /** From now on calls on this inode miss blocks until "release-blocks". */
  | { readonly do: "withhold-blocks"; readonly ino: number }
  /**
   * During the next mkdir, messages to the kernel of these changes wait behind one that needs the parent's lock; then "stalled"
   * returns. The mkdir waits until "release-blocks".
   */
  | { readonly do: "stall-messages"; readonly changes: Invalidations }
  /** From now on writing the journal fails, or works again. */
  | { readonly do: "fail-persist"; readonly how: "disk-full" | "bug" | "not" }
  /** Makes, removes or writes a file in the root directory as another machine would, without notifying the kernel. */
  | { readonly do: "change"; readonly how: "make" | "remove" | "write"; readonly name: string; readonly text?: string }
  | { readonly do: "invalidate"; readonly changes: Invalidations };

const [mountPoint = "", optionsJson = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsJson) as Partial<FuseOptions>;
const log = createLineLog(systemClock.nowNs, (line) => process.stderr.write(line));
const fs = new MemoryFileSystem(systemClock.nowNs);
const ROOT = 1 as Ino;

await prepareMountPoint(mountPoint, systemClock);
const mount = serveFuse(fs, { mountPoint, source: "memory:test bucket", log, clock: systemClock, ...options });
await mount.ready;
process.send?.({ event: "ready" });
const underWay = new Set<Promise<void>>();
async function reportEnd(): Promise<void> {
  const end = await mount.ended;
  process.send?.({ event: "ended", end });
  await Promise.all(underWay);
  if (process.connected) process.disconnect();
}
void reportEnd();
process.on("SIGTERM", () => void mount.close());

let blocksAreHere: () => void = () => {};
let resumeChanges: () => void = () => {};
let stalled: Promise<void> = Promise.resolve();

async function obey(order: Order): Promise<unknown> {
  switch (order.do) {
    case "unmount":
      return mount.unmount();
    case "detach":
      return mount.detach();
    case "close":
      return mount.close();
    case "inodes":
      return fs.inodeCount;
    case "orphans":
      return fs.orphanCount;
    case "peak-memory":
      return process.resourceUsage().maxRSS;
    case "withhold-blocks":
      return withhold(order.ino);
    case "slow-down":
      return slowDown(order.ms);
    case "release-blocks":
      return blocksAreHere();
    case "withhold-syncs":
      fs.faults.sync = () => new Promise(() => {});
      return undefined;
    case "pause-changes":
      return pauseChanges();
    case "pause-write":
      return pauseWrite();
    case "resume-changes":
      return resumeChanges();
    case "die-in-make-directory":
      fs.makeDirectory = dieWhileTelling;
      return undefined;
    case "stall-messages":
      return stallMessages(order.changes);
    case "stalled":
      return stalled;
    case "fail-persist":
      fs.faults.persist = () => {
        if (order.how === "disk-full") throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
        if (order.how === "bug") throw new TypeError("a defect");
      };
      return undefined;
    case "change":
      return change(order.how, Buffer.from(order.name).toString("latin1") as FileName, order.text);
    case "invalidate":
      return mount.invalidate(order.changes);
  }
}

function withhold(ino: number): void {
  const arrived = new Promise<void>((resolve) => (blocksAreHere = resolve));
  fs.faults.touch = (touched) => {
    if (touched === ino) throw new BlockMiss(["bafkr4itest" as Cid]);
  };
  fs.faults.load = (_, signal) => {
    signal?.addEventListener("abort", () => log.info("a load was given up"));
    return arrived;
  };
  void arrived.then(() => (fs.faults.touch = () => {}));
}

function slowDown(ms: number): void {
  let areHere = false;
  fs.faults.touch = () => {
    if (!areHere) throw new BlockMiss(["bafkr4itest" as Cid]);
  };
  fs.faults.load = async () => {
    await systemClock.sleep(ms);
    areHere = true;
    // The waiting call runs first.
    setImmediate(() => (areHere = false));
  };
  fs.faults.sync = () => systemClock.sleep(ms);
}

function pauseChanges(): void {
  const come = new Promise<void>((resolve) => (resumeChanges = resolve));
  fs.faults.throttle = () => come;
  void come.then(() => (fs.faults.throttle = () => undefined));
}

function pauseWrite(): void {
  fs.faults.throttle = () => {
    fs.faults.throttle = () => undefined;
    return systemClock.sleep(50);
  };
}

function dieWhileTelling(parent: Ino): never {
  tellInVain(parent);
  process.kill(process.pid, "SIGKILL");
  throw new Error("unreachable");
}

function stallMessages(changes: Invalidations): void {
  const { makeDirectory } = fs;
  stalled = new Promise((resolve) => {
    fs.makeDirectory = (parent) => {
      fs.makeDirectory = makeDirectory;
      tellInVain(parent);
      mount.invalidate(changes);
      withhold(parent);
      resolve();
      throw new BlockMiss(["bafkr4itest" as Cid]);
    };
  });
}

/** Sends a message that needs the lock of this directory, which a request holds. Returns once it waits for the lock. */
function tellInVain(parent: Ino): void {
  mount.invalidate({ entries: [{ parent, name: "other" as FileName }], inodes: [], all: false });
  // No event tells that the sending thread waits for the kernel's lock; /proc shows that it sleeps uninterruptibly.
  for (let looks = 0; looks < 1_000 && !threadStates().includes("D"); looks++) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
  }
  if (!threadStates().includes("D")) throw new Error("no message waits");
}

function threadStates(): string {
  const states = readdirSync("/proc/self/task").map((task) => readFileSync(`/proc/self/task/${task}/stat`, "utf8"));
  return states.map((stat) => stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3)).join("");
}

function change(how: "make" | "remove" | "write", name: FileName, text = ""): number {
  if (how === "remove") {
    const { ino } = fs.lookup(ROOT, name) ?? { ino: 0 };
    fs.unlink(ROOT, name);
    return ino;
  }
  const there = fs.lookup(ROOT, name);
  if (how === "write" && there === undefined) throw new FsError(ERRNO.ENOENT, "no such file");
  const { ino } = there ?? fs.makeNode(ROOT, name, 0o100644, 0, { uid: 0, gid: 0 });
  fs.setAttributes(ino, { size: 0 });
  fs.write(ino, 0, Buffer.from(text));
  return ino;
}

async function answer(id: number, order: Order): Promise<void> {
  try {
    const value = await obey(order);
    process.send?.({ id, value });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
}

process.on("message", ({ id, order }: { id: number; order: Order }) => {
  const answered = answer(id, order).finally(() => underWay.delete(answered));
  underWay.add(answered);
});
