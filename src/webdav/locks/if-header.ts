/** The If header (RFC 4918, section 10.4), parsed: lists of conditions on the request's or a named resource. */
import { MAX_IF_CONDITIONS } from "../limits.ts";
import { Refusal } from "../refusal.ts";

export interface Condition {
  readonly isNegated: boolean;
  readonly kind: "token" | "etag";
  /** The token without its angle brackets, or the entity tag with its quotes. */
  readonly value: string;
}

export interface ConditionList {
  /** The address that the list is about; undefined: the request's own. */
  readonly resource: string | undefined;
  /** All of them must hold. */
  readonly conditions: readonly Condition[];
}

/** At least one list must hold. Throws a Refusal, 400, for an invalid If header. */
export function parseIf(text: string): ConditionList[] {
  const lists: ConditionList[] = [];
  let resource: string | undefined;
  let isUsed = true;
  let conditions: Condition[] | undefined;
  let isNegated = false;
  let count = 0;
  for (const { token, etag, mark } of words(text)) {
    if (conditions === undefined) {
      if (mark === "(") conditions = [];
      else if (token !== undefined && isUsed && (lists.length === 0 || resource !== undefined)) {
        resource = token;
        isUsed = false;
      } else throw malformed();
    } else if (mark === ")") {
      if (conditions.length === 0 || isNegated) throw malformed();
      lists.push({ resource, conditions });
      isUsed = true;
      conditions = undefined;
    } else if (mark === "not" && !isNegated) isNegated = true;
    else {
      const value = token ?? etag;
      if (value === undefined || ++count > MAX_IF_CONDITIONS) throw malformed();
      conditions.push({ isNegated, kind: token === undefined ? "etag" : "token", value });
      isNegated = false;
    }
  }
  if (lists.length === 0 || !isUsed || conditions !== undefined) throw malformed();
  return lists;
}

interface Word {
  readonly token?: string;
  readonly etag?: string;
  readonly mark?: "(" | ")" | "not";
}

const WORD = /[ \t]*(?:<([^<>\s]+)>|\[((?:W\/)?"[^"\]]*")\]|([()])|(not)(?=[\s<[]))/iy;

function* words(text: string): Generator<Word> {
  const end = text.trimEnd().length;
  WORD.lastIndex = 0;
  for (let at = 0; at < end;) {
    WORD.lastIndex = at;
    const found = WORD.exec(text);
    if (found === null) throw malformed();
    at = WORD.lastIndex;
    const [, token, etag, mark, not] = found;
    if (token !== undefined) yield { token };
    else if (etag !== undefined) yield { etag };
    else yield { mark: not !== undefined ? "not" : mark === "(" ? "(" : ")" };
  }
}

function malformed(): Refusal {
  return new Refusal(400, "The If header is malformed.");
}
