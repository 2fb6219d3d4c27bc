/** Reads unpublished contents from a state folder, from any thread, while the overlay that owns it goes on. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { DataReader } from "../bucket/change-set.ts";
import { dataFileName } from "./data-files.ts";
import { isSystemCode, storageError } from "./storage-error.ts";

/** Of sealed epochs only, whose files do not change. What power loss took from a file reads as zeros. */
export function createDataReader(stateDir: string): DataReader {
  return {
    async readData(ino, epoch, offset, length) {
      const bytes = new Uint8Array(length);
      try {
        await using file = await open(join(stateDir, "data", dataFileName(ino, epoch)), "r");
        for (let done = 0; done < length;) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
      } catch (error) {
        if (!isSystemCode(error, "ENOENT")) throw storageError(error);
      }
      return bytes;
    },
  };
}
