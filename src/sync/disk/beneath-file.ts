/** Open files of a real folder on Linux, by their descriptors. */
import { close, closeSync, fsync, ftruncate, ftruncateSync, read, writeSync, writev } from "node:fs";
import { promisify } from "node:util";
import { writeParts } from "../../objects/disk.ts";
import { coded, type BeneathAddon } from "./addon.ts";
import type { AppendFile, DiskFile } from "./disk.ts";
import { statOf } from "./stat-rows.ts";

export class DescriptorAppended implements AppendFile {
  readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  append(text: string): void {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length;) done += writeSync(this.descriptor, bytes, done);
  }

  clear(): void {
    ftruncateSync(this.descriptor, 0);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** Negative: no marks. */
export function markedBy(marks: AppendFile | undefined): number {
  return marks instanceof DescriptorAppended ? marks.descriptor : -1;
}

export function openFile(addon: BeneathAddon, descriptor: number): DiskFile {
  const statIt = () => {
    const row = coded(() => addon.statAt(descriptor, ""));
    if (row === undefined) throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
    return statOf(row, 0);
  };
  const { dataFrom } = addon;
  return {
    stat: async () => statIt(),
    zerosAt: dataFrom && ((offset) => dataFrom(descriptor, offset) - offset),
    async read(offset, length, target = Buffer.allocUnsafeSlow(length)) {
      const bytes = target.subarray(0, length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await readOf(descriptor, bytes, done, length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    },
    write: (offset, ...parts) => writeParts({ writev: (some, at) => writevOf(descriptor, some, at) }, offset, parts),
    truncate: (size) => truncateOf(descriptor, size),
    sync: () => fsyncOf(descriptor),
    close: () => closeOf(descriptor),
  };
}

const [closeOf, fsyncOf, truncateOf] = [promisify(close), promisify(fsync), promisify(ftruncate)];
const [readOf, writevOf] = [promisify(read), promisify(writev)];
