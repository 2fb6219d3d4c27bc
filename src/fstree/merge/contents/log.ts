/**
 * Merges appends on both sides of a log: base + winner's tail + loser's tail, so that no line is lost or torn. A side that was merged
 * so before has lines of others within the base's. Then what the other side appended goes to its end.
 *
 * The cost is that of the tails: the common part is compared by the addresses of its chunks, and an edit appends the
 * loser's tail to the winner's version.
 */
import { editContent } from "../../../content/edit.ts";
import { streamContent, readContent } from "../../../content/read.ts";
import type { ContentSegment } from "../../../content/segment.ts";
import type { ContentSource } from "../../../content/source.ts";
import { walkContent } from "../../../content/walk.ts";
import type { ContentPart, Parts } from "../../../content/walk.ts";
import type { FileRecord } from "../../../format/files/record.ts";
import type { MergeContext } from "../context.ts";

const NEWLINE = 0x0a;

type Merged = Pick<FileRecord, "content" | "size">;

/** Undefined: both only appended, but a line would be torn. */
export async function mergeLogs(
  context: MergeContext,
  base: FileRecord,
  winner: FileRecord,
  loser: FileRecord,
): Promise<Merged | "not appended" | undefined> {
  const [inWinner, inLoser] = [await commonStart(context, base, winner), await commonStart(context, base, loser)];
  if (inWinner === base.size && inLoser === base.size) {
    const isTorn = !(await endsLine(context, base)) || !(await endsLine(context, winner));
    return isTorn ? undefined : withTail(context, winner, loser, base.size);
  }
  if (inWinner !== base.size && inLoser !== base.size) return "not appended";
  const [appended, other, common] = inWinner === base.size ? [winner, loser, inLoser] : [loser, winner, inWinner];
  if (!(await hasAllLines(context, other, base, common))) return "not appended";
  return withTail(context, other, appended, base.size);
}

/** The file with what the other one has from `start` on. */
async function withTail(
  { content: source, sink, contentConfig }: MergeContext,
  file: FileRecord,
  other: FileRecord,
  start: number,
): Promise<Merged> {
  const tail = other.size - start;
  const segments: ContentSegment[] = [
    { offset: 0, length: file.size, from: "base", epoch: 0 },
    { offset: file.size, length: tail, from: "data", epoch: 0 },
  ];
  const readTail = (_epoch: number, offset: number, length: number) =>
    readContent(source, other.content, other.size, offset - file.size + start, length);
  const edits = segments.filter(({ length }) => length > 0);
  const size = file.size + tail;
  const content = await editContent(source, sink, contentConfig, file.content, file.size, edits, size, readTail);
  return { content, size };
}

/**
 * Whether a file has all lines of the base in their order, and others besides. `common`: the bytes in common at their start.
 * False also where more than the policy's size of a text would have to be compared.
 */
async function hasAllLines(
  context: MergeContext,
  file: FileRecord,
  base: FileRecord,
  common: number,
): Promise<boolean> {
  const { content: source, policy } = context;
  if (!(await endsLine(context, base)) || !(await endsLine(context, file))) return false;
  const from = Math.max(0, common - policy.textBytes);
  const before = Buffer.from(await readContent(source, base.content, base.size, from, common - from));
  const start = from + before.lastIndexOf(NEWLINE) + 1;
  if (Math.max(base.size, file.size) - start > policy.textBytes) return false;
  const linesOf = async ({ content, size }: FileRecord) =>
    Buffer.from(await readContent(source, content, size, start, size - start))
      .toString("latin1")
      .split("\n");
  const expected = await linesOf(base);
  let found = 0;
  for (const line of await linesOf(file)) if (line === expected[found]) found++;
  return found === expected.length;
}

/** How many bytes two files have in common at their start. */
async function commonStart({ content: source }: MergeContext, a: FileRecord, b: FileRecord): Promise<number> {
  const end = Math.min(a.size, b.size);
  let common = await sharedBytes(source, a, b);
  const pieces = streamContent(source, a.content, a.size, common, end);
  for await (const piece of streamContent(source, b.content, b.size, common, end)) {
    const { value = new Uint8Array() } = await pieces.next();
    const different = Buffer.from(piece).equals(value) ? -1 : piece.findIndex((byte, at) => byte !== value[at]);
    if (different >= 0) return common + different;
    common += piece.length;
  }
  return common;
}

/** How many bytes at the start of two files lie in the same chunks and holes. Skips what is below a list node that both have. */
async function sharedBytes(source: ContentSource, a: FileRecord, b: FileRecord): Promise<number> {
  const [ofA, ofB] = [walkContent(source, a.content, a.size), walkContent(source, b.content, b.size)];
  let [partA, partB] = [await next(ofA), await next(ofB)];
  let shared = 0;
  while (partA !== undefined && partB !== undefined) {
    const isSame = partA.cid === partB.cid && partA.length === partB.length && partA.kind === partB.kind;
    const [opensA, opensB] = [opens(partA, partB), opens(partB, partA)];
    if (isSame) shared = partA.offset + partA.length;
    else if (!opensA && !opensB) break;
    if (isSame || opensA) partA = await next(ofA, isSame);
    if (isSame || opensB) partB = await next(ofB, isSame);
  }
  await Promise.all([ofA.return(), ofB.return()]);
  return shared;
}

async function next(parts: Parts, skip = false): Promise<ContentPart | undefined> {
  const { value } = await parts.next(skip);
  return value ?? undefined;
}

/** Whether to step into `part`: a list node that is not lower than `other`, which begins at the same offset. */
function opens(part: ContentPart, other: ContentPart): boolean {
  return part.kind === "list" && part.level >= other.level;
}

async function endsLine({ content: source }: MergeContext, { content, size }: FileRecord): Promise<boolean> {
  if (size === 0) return true;
  const [last] = await readContent(source, content, size, size - 1, 1);
  return last === NEWLINE;
}
