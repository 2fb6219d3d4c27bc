/**
 * Checksums that the WebDAV door keeps over a restart: lines appended to a file of the agent's state, which gives way to a new one when it
 * is full. Nothing is synced: what power loss takes is a checksum that is not offered any more. Never the reason for a failure.
 */
import { appendFileSync, readFileSync, renameSync } from "node:fs";
import { describeError, type Log } from "../../base/log.ts";
import { failedWith } from "../../base/system-errors.ts";
import type { ChecksumStore, KnownChecksum } from "../../webdav/properties/checksums.ts";
import { KNOWN_CHECKSUMS } from "../../webdav/limits.ts";

/** Two files of so many lines are kept, which is what is remembered. */
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
        // A line that was cut short ends at the next one.
        appendFileSync(path, `\n${etag} ${text}`, { mode: 0o600 });
        lines++;
      } catch (error) {
        log.info(`A checksum is not kept: ${describeError(error)}`);
      }
    },
  };
}

function read(path: string, log: Log): KnownChecksum[] {
  try {
    return readFileSync(path, "latin1").split("\n").flatMap(parse);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) log.warn(`Checksums that were kept cannot be read: ${describeError(error)}`);
    return [];
  }
}

/** What is not whole is left out: digests have the length of their kind. */
function parse(line: string): KnownChecksum[] {
  const [, etag, text] =
    /^("[\w.-]+") ((?: ?(?:SHA1:[0-9a-f]{40}|MD5:[0-9a-f]{32}|SHA256:[0-9a-f]{64}))+)$/.exec(line) ?? [];
  return etag === undefined || text === undefined ? [] : [{ etag, text }];
}
