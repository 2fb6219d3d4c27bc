/** Files whose chunks are not as long as their records and lists say. */
import { describe, expect, test } from "vitest";
import { type Cid, ROOT_ID } from "../../../../src/base/ids.ts";
import { blockOf } from "../../../../src/blocks/block-codec.ts";
import { verifyBucket } from "../../../../src/bucket/verify.ts";
import { ChunkCache } from "../../../../src/content/chunk-cache.ts";
import { readContent } from "../../../../src/content/read.ts";
import type { ListEntry } from "../../../../src/format/files/chunk-list.ts";
import { dentryKey } from "../../../../src/format/files/keys.ts";
import type { Content } from "../../../../src/format/files/record.ts";
import { encodeDentry } from "../../../../src/format/files/rows.ts";
import { Attacker } from "../../../support/attacker.ts";
import { noise } from "../../../support/bytes.ts";
import { name, recordOf } from "../../../support/epochs.ts";
import { MemoryRemote } from "../../../support/memory-remote.ts";
import { putNode } from "../../../support/repeating-list.ts";
import { createBucket, openBucket } from "../../../support/test-bucket.ts";

const BYTES = 5_000;
const [first, second] = [blockOf("raw", noise(BYTES, 1)), blockOf("raw", noise(BYTES, 2))];

/** An entry that says so of a chunk. */
function entryOf(block: typeof first, length = BYTES): ListEntry {
  return { cid: block.cid, length, dataLength: length };
}

/** What verifying finds, and reading says, if a file has this size and content. */
async function examined(make: (remote: MemoryRemote) => Promise<{ readonly size: number; readonly content: Content }>) {
  const remote = new MemoryRemote();
  await createBucket(remote);
  for (const block of [first, second]) remote.blocks.put(block);
  const { size, content } = await make(remote);
  const record = recordOf("file", { size, content });
  const row = encodeDentry({ kind: "record", stated: undefined, record }, () => expect.unreachable());
  const attacker = await Attacker.start(remote, 7);
  const totals = { files: 1, directories: 0, bytes: size };
  await attacker.publish([{ key: dentryKey(ROOT_ID, name("a")), ...row }], { totals });
  const { damage, lost } = await verifyBucket(await openBucket(remote), { blocks: remote.blocks });
  const source = new ChunkCache(remote.blocks, { capacityBytes: 1 << 20 });
  const read = await readContent(source, content, size, 0, size).catch((error: unknown) => error);
  return { damage, lost, read };
}

function inChunk(size: number) {
  return examined(async () => ({ size, content: { kind: "chunk", cid: first.cid } }));
}

/** A list with these entries, in nodes of one or two levels. */
function inList(levels: number, entries: readonly ListEntry[]) {
  return examined(async ({ blocks }) => {
    const node = await putNode(blocks, 0, entries);
    const top = levels === 1 ? node : await putNode(blocks, 1, [node, await putNode(blocks, 0, [entryOf(first)])]);
    return { size: top.length, content: { kind: "list", cid: top.cid as Cid } };
  });
}

const UNREADABLE = { code: "format_invalid" };

describe("verify", () => {
  test("finds a file that is shorter than its single chunk, which cannot be read", async () => {
    const { damage, lost, read } = await inChunk(BYTES - 1);
    expect(read).toMatchObject(UNREADABLE);
    expect(damage).toMatchObject([{ path: "/a", cid: first.cid, what: expect.stringContaining("5000 bytes") }]);
    // A repair has nothing to look for.
    expect(lost).toEqual([]);
  });

  test("accepts a file that is longer than its single chunk: the rest is a hole", async () => {
    const { damage, read } = await inChunk(BYTES + 3);
    expect(damage).toEqual([]);
    expect(Buffer.concat([first.bytes, new Uint8Array(3)]).equals(read as Uint8Array)).toBe(true);
  });

  test.each([
    ["longer", 1, BYTES - 1],
    ["shorter", 1, BYTES + 1],
    ["longer", 2, BYTES - 1],
    ["shorter", 2, BYTES + 1],
  ])("finds a chunk that is %s than its list says, with nodes on %s levels", async (_, levels, length) => {
    const { damage, lost, read } = await inList(levels, [entryOf(first), entryOf(second, length)]);
    expect(read).toMatchObject(UNREADABLE);
    const what = expect.stringContaining(`The length of chunk ${second.cid}`);
    expect(damage).toMatchObject([{ path: "/a", what }]);
    expect(lost).toEqual([]);
  });

  test.each([1, 2])("accepts chunks and holes as long as the list says, with nodes on %s levels", async (levels) => {
    const hole = { cid: undefined, length: 70_000, dataLength: 0 };
    const { damage, read } = await inList(levels, [entryOf(first), hole, entryOf(second)]);
    expect(damage).toEqual([]);
    expect(read).toBeInstanceOf(Uint8Array);
  });
});
