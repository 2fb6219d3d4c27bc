/**
 * Limits index programs, which read every file for an index or for thumbnails. They get contents that are on this machine,
 * and only a few others. A reader's name is looked up only for reads that lack blocks in memory or read ahead.
 */
import { readFileSync } from "node:fs";
import { ERRNO } from "../base/errno.ts";
import { BoundedMap } from "../base/bounded-map.ts";
import type { Clock } from "../base/clock.ts";
import type { Cid } from "../base/ids.ts";
import type { Log } from "../base/log.ts";
import { orElse } from "../base/unless.ts";
import { FsError } from "../vfs/filesystem.ts";

export interface IndexRule {
  /** Names of programs, as /proc/PID/comm has them. */
  readonly names: readonly string[];
  /** Whether all these blocks are on this machine. */
  isHere(cids: readonly Cid[]): Promise<boolean>;
  /** Whether the current call wants blocks read ahead. */
  readsAhead(): boolean;
  /** Drops the read-ahead of the current call. */
  dropAhead(): void;
}

/** A block has about 64 KiB, in files above 64 MiB 256 KiB. This is enough for a few thumbnails of a folder that someone opens. */
const BLOCKS_AN_HOUR = 64;
const HOUR_MS = 3_600_000;
/** How long a thread's name is remembered, and for how many threads. */
const KNOWN_MS = 1_000;
const KNOWN = 64;
/** What the kernel keeps of a name (TASK_COMM_LEN without the NUL). */
const COMM_BYTES = 15;

export class IndexPrograms {
  readonly #rule: IndexRule | undefined;
  readonly #names: ReadonlySet<string>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #threads = new BoundedMap<number, { readonly name: string | undefined; readonly untilMs: number }>(KNOWN);
  #left = BLOCKS_AN_HOUR;
  #leftMs: number;
  #told = false;

  constructor(rule: IndexRule | undefined, clock: Clock, log: Log) {
    this.#rule = rule;
    this.#names = new Set(rule?.names.map((name) => name.slice(0, COMM_BYTES)));
    this.#clock = clock;
    this.#log = log;
    this.#leftMs = clock.monotonicMs();
  }

  /** The name of the index program that this thread belongs to, if any. */
  programOf(thread: number): string | undefined {
    if (this.#names.size === 0 || thread === 0) return undefined;
    const nowMs = this.#clock.monotonicMs();
    let known = this.#threads.get(thread);
    if (known === undefined || known.untilMs <= nowMs) {
      known = { name: namesOf(thread).find((each) => this.#names.has(each)), untilMs: nowMs + KNOWN_MS };
      this.#threads.set(thread, known);
    }
    return known.name;
  }

  /** After each attempt of a read: nothing is read ahead for index programs. */
  dropAhead(thread: number): void {
    if (this.#rule?.readsAhead() === true && this.programOf(thread) !== undefined) this.#rule.dropAhead();
  }

  /** Resolves if the program may load these blocks. Else throws EIO: programs then skip the file. */
  async require(program: string, cids: readonly Cid[]): Promise<void> {
    if (await this.#rule?.isHere(cids)) return;
    const nowMs = this.#clock.monotonicMs();
    this.#left = Math.min(BLOCKS_AN_HOUR, this.#left + (BLOCKS_AN_HOUR * (nowMs - this.#leftMs)) / HOUR_MS);
    this.#leftMs = nowMs;
    if (cids.length <= this.#left) {
      this.#left -= cids.length;
      return;
    }
    if (!this.#told) this.#log.info("An index program gets only what is on this machine for now.", { program });
    this.#told = true;
    throw new FsError(ERRNO.EIO, "an index program may fetch no more blocks for now");
  }
}

/** The names of a thread and of its process; none if it has ended, or is in another PID namespace. */
function namesOf(thread: number): string[] {
  return orElse([], () => {
    const status = readFileSync(`/proc/${thread}/status`, "utf8");
    const process = /^Tgid:\s*(\d+)$/m.exec(status)?.[1] ?? String(thread);
    return [thread, process].map((id) => readFileSync(`/proc/${id}/comm`, "utf8").trimEnd());
  });
}

/** Programs that are known to read everything. */
export const INDEX_PROGRAMS: readonly string[] = [
  "baloo_file",
  "baloo_file_extractor",
  "evince-thumbnailer",
  "ffmpegthumbnailer",
  "gdk-pixbuf-thumbnailer",
  "gnome-thumbnail-font",
  "localsearch-3",
  "localsearch-extractor-3",
  "recollindex",
  "totem-video-thumbnailer",
  "tracker-extract-3",
  "tracker-miner-fs-3",
  "tumblerd",
  "updatedb",
  "updatedb.mlocate",
  "updatedb.plocate",
];
