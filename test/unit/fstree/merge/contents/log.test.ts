/** Appends to a log on both sides: whole lines of both, at the cost of the tails. */
import { describe, expect, test } from "vitest";
import { mergeLogs } from "../../../../../src/fstree/merge/contents/log.ts";
import { ChunkCache } from "../../../../../src/content/chunk-cache.ts";
import { readContent } from "../../../../../src/content/read.ts";
import { writeBytes } from "../../../../../src/content/write.ts";
import type { FileRecord } from "../../../../../src/format/files/record.ts";
import type { ListEntry } from "../../../../../src/format/files/chunk-list.ts";
import { BlockMap } from "../../../../support/block-map.ts";
import { recordOf } from "../../../../support/epochs.ts";
import { createMergeContext } from "../../../../support/merge-context.ts";
import { putNode, putRepeatingList } from "../../../../support/repeating-list.ts";

const blocks = new BlockMap();
const MiB = 1024 * 1024;

describe("appends on both sides of a log", () => {
  test("are merged without rereading the log, even when it has many chunks", async () => {
    const base = Buffer.from(lines("base", 4 * MiB));
    const [winner, loser] = [Buffer.from(lines("winner", 300)), Buffer.from(lines("loser", 90_000))];
    const sides = await Promise.all([base, Buffer.concat([base, winner]), Buffer.concat([base, loser])].map(logOf));
    blocks.forgetCounts();
    const merged = await merge(sides);
    expect(blocks.readBytes).toBeLessThan(MiB);
    expect(Buffer.concat([base, winner, loser]).equals(await bytesOf(merged))).toBe(true);
  });

  test("are merged without looking below the nodes that all have, however many chunks are below them", async () => {
    const levels = 4;
    const shared = await putRepeatingList(blocks, Buffer.alloc(4096, "\n"), levels);
    const tail = await putRepeatingList(blocks, Buffer.from("l\n"), 1);
    let node = tail;
    for (let level = 1; level < levels; level++) node = await putNode(blocks, level, [node]);
    const [base, winner, loser] = [[shared], [shared, shared], [shared, node]];
    const sides = [base, winner, loser].map(async (entries) => listOf(await putNode(blocks, levels, entries ?? [])));
    let visits = 0;
    const content = new ChunkCache(blocks, { capacityBytes: 16 * MiB });
    const peekList = content.peekList.bind(content);
    content.peekList = (cid) => {
      if (++visits > 10_000) throw new Error("too many visits");
      return peekList(cid);
    };
    const merged = await merge(await Promise.all(sides), content);
    expect(merged).toMatchObject({ size: 2 * shared.length + tail.length });
  });

  test("put the loser's lines after the winner's", async () => {
    expect(await mergeTexts("0\n", "0\nw\n", "0\nl")).toBe("0\nw\nl");
    expect(await mergeTexts("", "w\n", "l\n")).toBe("w\nl\n");
  });

  test("are refused when the merge would break a line", async () => {
    expect(await mergeTexts("0", "0w\n", "0l\n")).toBeUndefined();
    expect(await mergeTexts("0\n", "0\nw", "0\nl\n")).toBeUndefined();
  });

  test("go to the end of the other side, if that one has others' lines within the base's", async () => {
    expect(await mergeTexts("0\na1\n", "0\na1\na2\n", "0\nb1\na1\nb2\n")).toBe("0\nb1\na1\nb2\na2\n");
    expect(await mergeTexts("0\na1\n", "0\nb1\na1\nb2\n", "0\na1\na2\n")).toBe("0\nb1\na1\nb2\na2\n");
    expect(await mergeTexts("\na\n\n", "\na\n\nw\n", "l\n\na\n\n")).toBe("l\n\na\n\nw\n");
    expect(await mergeTexts("0\na1\n", "0\na1\na2", "0\nb1\na1\n")).toBe("0\nb1\na1\na2");
    const long = lines("base", 4 * MiB);
    expect(await mergeTexts(`${long}a1\n`, `${long}a1\na2\n`, `${long}b1\na1\n`)).toBe(`${long}b1\na1\na2\n`);
  });

  test("are not recognized when a side did more than append", async () => {
    expect(await mergeTexts("0\na1\n", "0\na1\na2\n", "0\nb1\nA1\n")).toBe("not appended");
    expect(await mergeTexts("0\na1\n", "0\na1\na2\n", "0\nb1\na1\nb2")).toBe("not appended");
    expect(await mergeTexts("0\na1\n", "0\nc1\na1\n", "0\nb1\na1\n")).toBe("not appended");
    expect(await mergeTexts("0\n", "1\nw\n", "0\nl\n")).toBe("not appended");
    expect(await mergeTexts("0\n1\n", "0\n1\nw\n", "0\n")).toBe("not appended");
    const long = lines("base", MiB);
    expect(await mergeTexts(long, `${long}w\n`, `x${long.slice(1)}l\n`)).toBe("not appended");
    expect(await mergeTexts(long, `${long.slice(0, -2)}x\nw\n`, `${long}l\n`)).toBe("not appended");
  });
});

async function mergeTexts(...texts: readonly string[]): Promise<string | undefined> {
  const merged = await merge(await Promise.all(texts.map((text) => logOf(Buffer.from(text)))));
  return typeof merged === "object" ? (await bytesOf(merged)).toString() : merged;
}

function merge(sides: readonly FileRecord[], content = context().content): ReturnType<typeof mergeLogs> {
  const [base, winner, loser] = sides;
  if (base === undefined || winner === undefined || loser === undefined) return Promise.resolve(undefined);
  return mergeLogs({ ...context(), content }, base, winner, loser);
}

/** With nothing in memory yet. */
function context() {
  return { ...createMergeContext(blocks), content: new ChunkCache(blocks, { capacityBytes: 16 * MiB }) };
}

async function bytesOf(merged: Awaited<ReturnType<typeof mergeLogs>>): Promise<Buffer> {
  if (typeof merged !== "object") return Buffer.from(String(merged));
  return Buffer.from(await readContent(context().content, merged.content, merged.size, 0, merged.size));
}

async function logOf(bytes: Uint8Array): Promise<FileRecord> {
  const { contentConfig } = createMergeContext();
  return recordOf("file", { size: bytes.length, content: await writeBytes(blocks, contentConfig, bytes) });
}

function listOf({ cid, length }: ListEntry): FileRecord {
  if (cid === undefined) throw new Error("expected a node");
  return recordOf("file", { size: length, content: { kind: "list", cid } });
}

/** Numbered lines of about so many bytes. */
function lines(label: string, bytes: number): string {
  const count = Math.ceil(bytes / (label.length + 10));
  return Array.from({ length: count }, (_, at) => `${label} ${String(at).padStart(8, "0")}\n`).join("");
}
