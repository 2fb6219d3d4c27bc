/**
 * The conditions of a request for a root (RFC 9110, section 13). A root's entity tag is its CID in quotes, always strong.
 *
 * https://www.rfc-editor.org/rfc/rfc9110#name-conditional-requests
 */
import type { IncomingHttpHeaders } from "node:http";
import { Refusal } from "../http/refusal.ts";

/** What the root must be for a swap to take place. */
export type SwapCondition =
  | { readonly kind: "absent" }
  /** One of these roots; "any": whichever it is, as long as there is one. */
  | { readonly kind: "present"; readonly roots: ReadonlySet<string> | "any" };

/**
 * `If-Match` compares strongly, so weak tags never match. Any tag in a list may match, and `*` matches any existing root:
 * that is safe, since a commit names the root it replaces. `If-None-Match` is accepted only as `*`: replacing "any root but
 * this one" makes no sense. Throws `condition_missing`, `bad_condition`.
 */
export function swapCondition(headers: IncomingHttpHeaders): SwapCondition {
  const match = headers["if-match"];
  const noneMatch = headers["if-none-match"];
  if (match !== undefined && noneMatch !== undefined) {
    throw bad("If-Match and If-None-Match cannot be combined: one replaces the root, the other creates a bucket.");
  }
  if (noneMatch !== undefined) {
    if (noneMatch.trim() === "*") return { kind: "absent" };
    throw bad("If-None-Match must be *, which creates the bucket.");
  }
  if (match === undefined) {
    const message =
      'A condition is required: If-Match: "ROOT" to replace it, or If-None-Match: * to create the bucket.';
    throw new Refusal("condition_missing", message);
  }
  const tags = parseTags(match);
  if (tags === undefined) throw bad('If-Match takes the root to replace, in quotes: "bafyr4i…".');
  if (tags === "any") return { kind: "present", roots: "any" };
  return { kind: "present", roots: new Set(tags.filter(({ weak }) => !weak).map(({ tag }) => tag)) };
}

/** Whether a reader already has this root (`If-None-Match`, compared weakly). Malformed tags never match. */
export function isFresh(headers: IncomingHttpHeaders, root: string): boolean {
  const tags = parseTags(headers["if-none-match"] ?? "");
  return tags === "any" || (tags !== undefined && tags.some(({ tag }) => tag === root));
}

export function conditionHolds(condition: SwapCondition, root: string | undefined): boolean {
  if (condition.kind === "absent") return root === undefined;
  return root !== undefined && (condition.roots === "any" || condition.roots.has(root));
}

export function entityTag(root: string): string {
  return `"${root}"`;
}

function bad(message: string): Refusal {
  return new Refusal("bad_condition", message);
}

interface Tag {
  readonly weak: boolean;
  readonly tag: string;
}

/** entity-tag = [ W/ ] DQUOTE *( %x21 / %x23-7E / obs-text ) DQUOTE, in a list that may have empty members. */
function parseTags(text: string): readonly Tag[] | "any" | undefined {
  if (text.trim() === "*") return "any";
  const members = text.split(",").map((member) => member.trim());
  const tags: Tag[] = [];
  for (const member of members.filter((member) => member !== "")) {
    // Our tags have no commas: pieces of those that do are malformed.
    const parsed = /^(W\/)?"([\x21\x23-\x2b\x2d-\x7e]*)"$/.exec(member);
    if (parsed === null) return undefined;
    tags.push({ weak: parsed[1] !== undefined, tag: parsed[2] ?? "" });
  }
  return tags.length === 0 ? undefined : tags;
}
