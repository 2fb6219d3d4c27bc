/** New directories get their attributes last, since adding entries changes their times. */
import type { FileRecord } from "../../format/files/record.ts";

/** The mode until then. */
export const UNFINISHED_MODE = 0o700;

/** What the database has until then: it differs from the bucket. */
export function unfinished(record: FileRecord): FileRecord {
  return { ...record, mode: UNFINISHED_MODE, ctimeNs: record.ctimeNs + 1n };
}
