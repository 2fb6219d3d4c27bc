/** The last root that a state's agent has seen, from which it starts while the bucket is out of reach. */
import { parseBaseRoot } from "../../overlay/base-root.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";

/** The file in a state that holds the last root seen. */
export const LAST_BASE = "base.json";

/** Undefined if invalid: it is only a copy of what the bucket has. */
export function parseBase(bytes: Buffer | undefined): BaseRoot | undefined {
  return bytes === undefined ? undefined : parseBaseRoot(bytes.toString("utf8"));
}
