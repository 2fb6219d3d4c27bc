/**
 * Standard output that is a file or a device. Node.js's own stream takes it as written when a full disk takes only the
 * beginning of a write, and discards everything for a block device.
 */
import { fstatSync, writeSync } from "node:fs";
import { Writable } from "node:stream";
import { isatty } from "node:tty";
import { systemFailure } from "../../base/system-errors.ts";
import { orElse } from "../../base/unless.ts";

/** The stream for a descriptor; undefined for pipes, sockets and terminals, which Node.js handles. */
export function fileOutput(descriptor: number): Writable | undefined {
  return isFile(descriptor) ? writingWith((bytes, from) => writeSync(descriptor, bytes, from)) : undefined;
}

/** Writes until all is written. `writeSome` answers how many bytes it wrote from that index on. */
export function writingWith(writeSome: (bytes: Uint8Array, from: number) => number): Writable {
  const writeAll = (bytes: Uint8Array) => {
    for (let done = 0; done < bytes.length;) {
      const written = writeSome(bytes, done);
      if (written === 0) throw systemFailure("EIO", "nothing more can be written to the standard output");
      done += written;
    }
  };
  return new Writable({
    write(bytes: Uint8Array, _encoding, done) {
      try {
        writeAll(bytes);
      } catch (error) {
        return done(error as Error);
      }
      done();
    },
  });
}

function isFile(descriptor: number): boolean {
  // Node.js reports a descriptor that is none, or opens it.
  return orElse(false, () => {
    const stat = fstatSync(descriptor);
    return stat.isFile() || stat.isBlockDevice() || (stat.isCharacterDevice() && !isatty(descriptor));
  });
}
