/**
 * Checksums that the WebDAV door keeps across restarts, as lines in a file of the agent's state; a full file is replaced by
 * a new one. Nothing is synced to the disk: after power loss some checksums are no longer offered. Never causes a failure.
 */
import { appendFileSync, readFileSync, renameSync } from "node:fs";
import { describeError, type Log } from "../../base/log.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { ChecksumStore, KnownChecksum } from "../../webdav/properties/checksums.ts";
import { KNOWN_CHECKSUMS } from "../../webdav/limits.ts";

/** Two files of this many lines are kept, as many as are remembered. */
const FILE_LINES = KNOWN_CHECKSUMS / 2;

export function fileChecksumStore(path: string, log: Log, fileLines = FILE_LINES): ChecksumStore {
  const older = `${path}.1`;
  let lines = 0;
  return {
    load() {
      const newer = read(path, log);
      lines = newer.length;
      return [...read(older, log), ...newer];
    },
    add({ etag, text }) {
      try {
        if (lines >= fileLines) {
          renameSync(path, older);
          lines = 0;
        }
        // The leading newline ends a line that was cut short.
        appendFileSync(path, `\n${etag} ${text}`, { mode: 0o600 });
        lines++;
      } catch (error) {
        log.info(`Could not store a checksum: ${describeError(error)}`);
      }
    },
  };
}

function read(path: string, log: Log): KnownChecksum[] {
  try {
    return readFileSync(path, "latin1").split("\n").flatMap(parse);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) log.warn(`Could not read the stored checksums: ${describeError(error)}`);
    return [];
  }
}

/** Skips incomplete lines: a digest must have the length of its kind. */
function parse(line: string): KnownChecksum[] {
  const [, etag, text] =
    /^("[\w.-]+") ((?: ?(?:SHA1:[0-9a-f]{40}|MD5:[0-9a-f]{32}|SHA256:[0-9a-f]{64}))+)$/.exec(line) ?? [];
  return etag === undefined || text === undefined ? [] : [{ etag, text }];
}
