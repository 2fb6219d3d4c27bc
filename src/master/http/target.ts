/** Parses a request line's target: path and query, in origin form or absolute form (RFC 9112, 3.2). */
import { Refusal } from "./refusal.ts";

export interface Target {
  /** The path's parts, decoded once each. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
}

/** Throws `malformed_request`. */
export function parseTarget(target: string): Target {
  const origin = target.startsWith("/") ? target : withoutOrigin(target);
  const mark = origin.indexOf("?");
  const path = mark < 0 ? origin : origin.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : origin.slice(mark + 1));
  return { segments: path.split("/").slice(1).map(decode), query };
}

function withoutOrigin(target: string): string {
  const rest = /^https?:\/\/[^/?#]*([/?].*)?$/is.exec(target);
  if (rest === null) throw new Refusal("malformed_request", "The request target must be a path or an http URL.");
  const path = rest[1] ?? "/";
  return path.startsWith("/") ? path : `/${path}`;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new Refusal("malformed_request", "The path has invalid percent-encoding.", { cause });
  }
}
