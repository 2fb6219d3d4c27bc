/**
 * Merges appends on both sides of a log: base + winner's tail + loser's tail, so that no line is lost or torn.
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

/** Undefined: both only appended, but a line would be torn. */
export async function mergeLogs(
  context: MergeContext,
  base: FileRecord,
  winner: FileRecord,
  loser: FileRecord,
): Promise<Pick<FileRecord, "content" | "size"> | "not appended" | undefined> {
  if (!(await startsWith(context, winner, base)) || !(await startsWith(context, loser, base))) return "not appended";
  if (!(await endsLine(context, base)) || !(await endsLine(context, winner))) return undefined;
  const tail = loser.size - base.size;
  const size = winner.size + tail;
  const segments: ContentSegment[] = [
    { offset: 0, length: winner.size, from: "base", epoch: 0 },
    { offset: winner.size, length: tail, from: "data", epoch: 0 },
  ];
  const readTail = (_epoch: number, offset: number, length: number) =>
    readContent(context.content, loser.content, loser.size, offset - winner.size + base.size, length);
  const content = await editContent(
    context.content,
    context.sink,
    context.contentConfig,
    winner.content,
    winner.size,
    segments.filter(({ length }) => length > 0),
    size,
    readTail,
  );
  return { content, size };
}

async function startsWith({ content: source }: MergeContext, file: FileRecord, start: FileRecord): Promise<boolean> {
  if (file.size < start.size) return false;
  const from = await sharedBytes(source, file, start);
  const pieces = streamContent(source, file.content, file.size, from, start.size);
  for await (const expected of streamContent(source, start.content, start.size, from)) {
    const { value } = await pieces.next();
    if (value === undefined || !Buffer.from(expected).equals(value)) return false;
  }
  return true;
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
