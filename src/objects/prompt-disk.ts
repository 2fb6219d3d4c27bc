/**
 * A disk that runs small reads inline if its folder is on a local file system. For cached data, a hop to another thread and
 * back costs five to eight times as much, and each flush of a writer reads some of the others' data. A network file system
 * may answer late or never. There, below overlayfs and FUSE, where a network may lie, and for a while after a slow call, all
 * calls run on the thread pool: a disk that hangs cannot stop `syncline status`.
 */
import * as now from "node:fs";
import type { Clock } from "../base/clock.ts";
import { type Disk, systemDisk } from "./disk.ts";
import { isLocalKind, kindOfFolder } from "./file-system.ts";
import type { ByteRange } from "./object-store.ts";

export interface PromptDiskOptions {
  /** The folder, which need not exist yet. */
  readonly path: string;
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Returns a folder's kind of file system, as statfs(2) does, if possible; for tests. */
  readonly kindOf?: (path: string) => Promise<number | undefined>;
  /** Runs the calls that are not made inline. */
  readonly disk?: Disk;
}

export function promptDisk({ path, clock, kindOf = kindOfFolder, disk = systemDisk }: PromptDiskOptions): Disk {
  const pace = new Promptness(clock, () => kindOf(path));
  return {
    ...disk,
    stat: ((file, options) => pace.make(() => now.statSync(file, options)) ?? disk.stat(file, options)) as Disk["stat"],
    readdir: ((folder: string) => pace.make(() => now.readdirSync(folder)) ?? disk.readdir(folder)) as Disk["readdir"],
    readFile: ((file: string, encoding?: BufferEncoding) =>
      pace.make(() => wholeOf(file, encoding)) ?? disk.readFile(file, encoding)) as Disk["readFile"],
    readNow: (file, rangesOf) => pace.make(() => partsOf(file, rangesOf)),
  };
}

/** Decides when a call may run inline: not if recent ones took too much time, nor endlessly in a row. */
class Promptness {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #kind: () => Promise<number | undefined>;
  #isLocal = false;
  /** When to check the folder's file system again: another disk may have been mounted there. */
  #lookMs = -Infinity;
  #restUntilMs = -Infinity;
  #inRow = 0;

  constructor(clock: Pick<Clock, "monotonicMs">, kind: () => Promise<number | undefined>) {
    this.#clock = clock;
    this.#kind = kind;
  }

  /** The result of `call`; undefined: it must not run inline, or it returned undefined because it cannot. */
  make<Result>(call: () => Result | undefined): Promise<Result> | undefined {
    const startMs = this.#clock.monotonicMs();
    if (startMs >= this.#lookMs) this.#look(startMs);
    if (!this.#isLocal || startMs < this.#restUntilMs) return undefined;
    if (++this.#inRow > MOST_IN_ROW) {
      this.#inRow = 0;
      return undefined;
    }
    try {
      const result = call();
      return result === undefined ? undefined : Promise.resolve(result);
    } catch (cause) {
      return Promise.reject(cause);
    } finally {
      const endMs = this.#clock.monotonicMs();
      if (endMs - startMs >= SLOW_MS) this.#restUntilMs = endMs + (endMs - startMs) * REST;
    }
  }

  #look(nowMs: number): void {
    this.#lookMs = nowMs + LOOK_MS;
    this.#kind().then(
      (kind) => (this.#isLocal = isLocalKind(kind)),
      // The folder does not exist, or not yet.
      () => (this.#isLocal = false),
    );
  }
}

/** An inline call that takes this long … */
const SLOW_MS = 1;
/** … is followed by a pause this many times as long: inline calls take 5 % of the time at most. */
const REST = 19;
const LOOK_MS = 1_000;
/** Inline answers in a row starve timers and other work: after this many, one call goes to the thread pool. */
const MOST_IN_ROW = 32;
/** Larger reads are worth a thread. The same size as small files elsewhere, but derived from the cost of a thread hop. */
const SMALL_BYTES = 64 * 1024;

function wholeOf(path: string, encoding: BufferEncoding | undefined): string | Buffer | undefined {
  return withFile(path, (file, size) => {
    if (size > SMALL_BYTES) return undefined;
    const bytes = now.readFileSync(file);
    return encoding === undefined ? bytes : bytes.toString(encoding);
  });
}

function partsOf(
  path: string,
  rangesOf: (size: number) => readonly ByteRange[],
): { size: number; parts: Buffer[] } | undefined {
  return withFile(path, (file, size) => {
    const ranges = rangesOf(size);
    if (ranges.reduce((sum, { length }) => sum + length, 0) > SMALL_BYTES) return undefined;
    return { size, parts: ranges.map((range) => partOf(file, range)) };
  });
}

/** In new memory; fewer bytes at the end of the file. */
function partOf(file: number, { offset, length }: ByteRange): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const read = now.readSync(file, bytes, done, length - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  return bytes.subarray(0, done);
}

/** Undefined if it is not a regular file: a pipe would block. */
function withFile<Result>(path: string, read: (file: number, size: number) => Result | undefined): Result | undefined {
  const file = now.openSync(path, now.constants.O_RDONLY | now.constants.O_NONBLOCK);
  try {
    const stat = now.fstatSync(file);
    return stat.isFile() ? read(file, stat.size) : undefined;
  } finally {
    now.closeSync(file);
  }
}
