/** Byte ranges of a GET (RFC 9110, section 14). */
import { MAX_RANGES } from "../limits.ts";

export interface ByteRange {
  readonly from: number;
  /** The last byte, inclusive. */
  readonly to: number;
}

/**
 * The ranges in ascending order; overlapping ones, and ones closer than the size of a part's head, are joined. "all": the
 * header is invalid, or asks for too many. "none": no range lies in the file.
 */
export function parseRanges(header: string, size: number): readonly ByteRange[] | "all" | "none" {
  const found = /^bytes=(.*)$/i.exec(header.trim());
  if (found === null) return "all";
  const elements = (found[1] ?? "").split(",").map((text) => text.trim());
  // Lists may have empty elements (RFC 9110, section 5.6.1.2).
  const wanted = elements.filter((text) => text !== "");
  if (wanted.length === 0 || wanted.length > MAX_RANGES) return "all";
  const ranges: ByteRange[] = [];
  for (const text of wanted) {
    const [, first = "", last = ""] = /^(\d{0,15})-(\d{0,15})$/.exec(text) ?? [];
    if (first === "" && last === "") return "all";
    if (first !== "" && last !== "" && Number(last) < Number(first)) return "all";
    const from = first === "" ? Math.max(0, size - Number(last)) : Number(first);
    const to = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
    if (from <= to) ranges.push({ from, to });
  }
  return ranges.length === 0 ? "none" : merged(ranges);
}

/** The approximate size of a part's head. */
const PART_BYTES = 80;

function merged(ranges: ByteRange[]): readonly ByteRange[] {
  const result: ByteRange[] = [];
  for (const range of ranges.sort((a, b) => a.from - b.from)) {
    const before = result.at(-1);
    if (before === undefined || range.from > before.to + 1 + PART_BYTES) result.push(range);
    else result[result.length - 1] = { from: before.from, to: Math.max(before.to, range.to) };
  }
  return result;
}
