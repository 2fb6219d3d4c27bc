/**
 * A file that is copied while other programs may change it. Attributes and bytes belong together: if the file differs
 * after the read from before, it is read again. One that never settles is copied up to the size that it had when opened.
 */
import { SynclineError } from "../../base/errors.ts";
import { escapeForPrint } from "../../base/names.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { FileSource } from "../../bucket/writer/file-source.ts";
import type { Stretch } from "../../content/chunker.ts";
import { stretchLength } from "../../content/write.ts";
import type { SeenFile } from "../../fstree/change-set.ts";
import { NOT_THERE, readStretch, type DiskFile, type DiskStat } from "../disk/disk.ts";

export interface SteadySource {
  /** For people. */
  readonly name: string;
  readonly open: () => Promise<Pick<DiskFile, "stat" | "read" | "zerosAt" | "close">>;
  /** Undefined: nothing is there. */
  readonly look: () => Promise<DiskStat | undefined>;
}

export class SteadyFile implements FileSource {
  /** The file was still changing when it was read for the last time. */
  isUnsteady = false;
  readonly #source: SteadySource;
  /** How the file was when the bytes to be read now were there. */
  #stat: DiskStat;
  #file: ReturnType<SteadySource["open"]> | undefined;
  #reads = 0;
  #ended: "whole" | "changed" | "failed" = "whole";

  /** `stat`: how it looked when it was found. */
  constructor(source: SteadySource, stat: DiskStat) {
    this.#source = source;
    this.#stat = stat;
  }

  get size(): number {
    return this.#stat.size;
  }

  /** Throws `precondition_failed` if the file changed: `seen` says how it is now. Rejects as opening and reading do. */
  async read(offset: number, length: number, target?: Uint8Array): Promise<Stretch> {
    const { size } = this.#stat;
    this.#ended = "failed";
    const file = await (this.#file ??= this.#open());
    const isResized = this.#stat.size !== size;
    const read = isResized ? 0 : await readStretch(file, size, offset, length, target);
    const isShort = stretchLength(read) < length;
    // The ctime is not compared: removing the file changes it, but the bytes can still be read to the end.
    const isCut = isShort || (this.#mayReadAgain() && !hasSameTime(this.#stat, await file.stat()));
    this.#ended = isCut ? "changed" : "whole";
    if (!isCut) return read;
    throw this.#changed(isShort && !isResized ? "shrank" : "changed");
  }

  /** How the file was when it was read to its end, or how it is if it must be read `again`. `size`: what was read. */
  async seen(size: number): Promise<SeenFile | undefined> {
    if (this.#ended === "failed") return undefined;
    if (this.#file === undefined) return this.#seenUnopened(size);
    if (this.#stat.size !== size) return this.#as(true);
    const now = await (await this.#file).stat();
    if (this.#ended === "whole" && isAlike(this.#stat, now)) return this.#as(false);
    if (!this.#mayReadAgain()) {
      if (this.#ended === "changed") return undefined;
      this.isUnsteady = true;
      return this.#as(false);
    }
    return (await this.#openAgain(now)) ? this.#as(true) : this.#as(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = this.#file;
    this.#file = undefined;
    // A failed open was already reported to the reader.
    await (await opened?.catch(() => undefined))?.close();
  }

  /** An empty file is not opened: that might not be allowed. */
  async #seenUnopened(size: number): Promise<SeenFile> {
    const now = await this.#source.look();
    if (now?.type === "file") this.#stat = now;
    return this.#as(this.#stat.size !== size);
  }

  async #open(): ReturnType<SteadySource["open"]> {
    const file = await this.#source.open();
    const stat = await file.stat();
    if (stat.type !== "file") {
      await file.close();
      throw this.#changed("was replaced");
    }
    this.#stat = stat;
    return file;
  }

  /** False: the file was removed after it was read. Its bytes are the last that it had. */
  async #openAgain(before: DiskStat): Promise<boolean> {
    this.#reads++;
    const isRead = this.#ended === "whole";
    const last = this.#stat;
    await this[Symbol.asyncDispose]();
    try {
      await (this.#file = this.#open());
      return true;
    } catch (error) {
      if (!isRead || !failedWith(error, ...NOT_THERE)) throw error;
      this.isUnsteady = !hasSameTime(last, before);
      return false;
    }
  }

  #mayReadAgain(): boolean {
    return this.#reads + 1 < MOST_READS;
  }

  #as(again: boolean): SeenFile {
    this.#ended = "whole";
    const { size, mode, uid, gid, mtimeNs } = this.#stat;
    return { again, size, mode, uid, gid, mtimeNs };
  }

  #changed(how: string): SynclineError {
    const name = escapeForPrint(this.#source.name);
    return new SynclineError("precondition_failed", `${name} ${how} while it was being read.`, {
      hint: "Put it again once no program writes to it.",
    });
  }
}

/** Whether nothing changed the file in between. */
function isAlike(before: DiskStat, now: DiskStat): boolean {
  const isSame = before.dev === now.dev && before.ino === now.ino && before.type === now.type;
  return isSame && hasSameTime(before, now) && before.ctimeNs === now.ctimeNs;
}

function hasSameTime(before: DiskStat, now: DiskStat): boolean {
  return before.size === now.size && before.mtimeNs === now.mtimeNs;
}

const MOST_READS = 4;
