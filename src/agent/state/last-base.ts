/** The last root that the agent of a state has seen: what it starts from while the bucket is out of reach. */
import { parseBaseRoot } from "../../overlay/base-root.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";

/** The file in a state that holds the last root seen. */
export const LAST_BASE = "base.json";

/** Undefined for what is no root: it is only a copy of what the bucket has. */
export function parseBase(bytes: Buffer | undefined): BaseRoot | undefined {
  return bytes === undefined ? undefined : parseBaseRoot(bytes.toString("utf8"));
}
