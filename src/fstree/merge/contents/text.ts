/**
 * Three-way merge by lines, only where it is safe: an unchanged line separates hunks of different sides, and the file stays
 * valid: one encoding, one kind of line ending, JSON that parses. Otherwise the versions stay apart. Markers are never
 * written into a file.
 */
import type { FileName } from "../../../base/ids.ts";
import { readContent } from "../../../content/read.ts";
import { writeBytes } from "../../../content/write.ts";
import type { FileRecord } from "../../../format/files/record.ts";
import type { MergeContext } from "../context.ts";
import { mergeLines } from "./lines.ts";
import { isSound } from "./structured-text.ts";

/** Undefined: not allowed, or not clean. */
export async function mergeTexts(
  context: MergeContext,
  names: readonly FileName[],
  base: FileRecord,
  winner: FileRecord,
  loser: FileRecord,
): Promise<Pick<FileRecord, "content" | "size"> | undefined> {
  const sides = [base, winner, loser];
  if (sides.some(({ size }) => size > context.policy.textBytes)) return undefined;
  const texts: string[] = [];
  for (const { content, size } of sides) {
    const text = decodeText(await readContent(context.content, content, size, 0, size));
    if (text === undefined) return undefined;
    texts.push(text);
  }
  const [baseText = "", winnerText = "", loserText = ""] = texts;
  const merged = mergeText(baseText, winnerText, loserText);
  if (merged === undefined || !(await isSound(names, merged, winnerText, loserText))) return undefined;
  const bytes = Buffer.from(merged, "utf8");
  return { content: await writeBytes(context.sink, context.contentConfig, bytes), size: bytes.length };
}

/** The merge of three texts, or undefined when it is not clean. */
export function mergeText(base: string, winner: string, loser: string): string | undefined {
  const texts = [base, winner, loser];
  const endings = ENDINGS.filter(([, sign]) => texts.some((text) => sign.test(text)));
  if (endings.length > 1) return undefined;
  const [[ending] = ["\n"]] = endings;
  if (texts.some((text) => hasTooManyLines(text, ending))) return undefined;
  const [bases, winners, losers] = texts.map((text) => splitLines(text, ending));
  const merged = mergeLines(bases ?? [], winners ?? [], losers ?? []);
  // A line without a newline would merge with the next one.
  if (merged === undefined || merged.slice(0, -1).some((line) => !line.endsWith(ending))) return undefined;
  return merged.join("");
}

/** Each line ending with the pattern that finds it. */
const ENDINGS = [
  ["\r\n", /\r\n/],
  ["\n", /(?<!\r)\n/],
  ["\r", /\r(?!\n)/],
] as const;

/** Texts with more lines are not merged by lines: that could take many seconds. */
const MAX_LINES = 100_000;

function hasTooManyLines(text: string, ending: string): boolean {
  let lines = 0;
  for (let at = text.indexOf(ending); at >= 0; at = text.indexOf(ending, at + ending.length))
    if (++lines > MAX_LINES) return true;
  return false;
}

/** Lines with their endings; only the last may lack one. */
function splitLines(text: string, ending: string): string[] {
  const lines = text.split(ending);
  const last = lines.pop() ?? "";
  const ended = lines.map((line) => line + ending);
  return last === "" ? ended : [...ended, last];
}

/** Undefined unless it is valid UTF-8 without NUL. */
function decodeText(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
