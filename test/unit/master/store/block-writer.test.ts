/** Ending a pack beside a stream of uploads: a collection of one owner must not wait for ever, and with it everybody's. */
import { beforeEach, expect, test } from "vitest";
import { silentLog } from "../../../../src/base/log.ts";
import { BlockWriter, type WrittenBatch } from "../../../../src/master/store/block-writer.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";
import { rawBlock } from "../../../contract/block-store.ts";
import { SimulatedPackDisk } from "../../../support/simulated-pack-disk.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const MANY = 200;

let folder: string;
let disk: SimulatedPackDisk;
let written: WrittenBatch[];

beforeEach(async () => {
  folder = await temporaryFolder();
  disk = new SimulatedPackDisk();
  written = [];
});

test("a pack is sealed between two batches of a busy stream, which continues in another pack", async () => {
  const writer = openWriter(1_000_000);
  const uploads = stream(writer);
  await uploads.next();
  const [first] = written;
  const before = written.length;
  await writer.endPack(first?.pack ?? "");
  expect(written.length - before).toBeLessThan(10);
  expect([...disk.files.keys()]).toEqual(expect.arrayContaining([`${folder}/${first?.pack}`]));
  await uploads.end();
  expect(written.at(-1)?.pack).not.toBe(first?.pack);
  expect(written.flatMap(({ rows }) => rows)).toHaveLength(MANY);
  await writer.close();
});

test("sealing a pack that is already sealed waits for no batch", async () => {
  const writer = openWriter(1_000);
  await write(writer, 0);
  await write(writer, 1);
  const [first, second] = written;
  await writer.endPack(first?.pack ?? "");
  await writer.endPack(second?.pack ?? "");
  const uploads = stream(writer);
  const before = written.length;
  await writer.endPack(first?.pack ?? "");
  expect(written.length).toBe(before);
  await uploads.end();
  await writer.close();
});

test("the current pack is sealed when nobody writes", async () => {
  const writer = openWriter(1_000_000);
  await write(writer, 0);
  const name = written[0]?.pack ?? "";
  await writer.endPack(name);
  expect([...disk.files.keys()]).toEqual([`${folder}/${name}`]);
  await writer.endPack(name);
  await writer.close();
});

function openWriter(packBytes: number): BlockWriter {
  const onWritten = (batch: WrittenBatch) => void written.push(batch);
  const random = seededRandom(1);
  return new BlockWriter({ disk, folder, random, log: silentLog, packBytes, current: undefined, onWritten });
}

function write(writer: BlockWriter, index: number): Promise<void> {
  return writer.write([{ ...rawBlock(1_000 + index), avoid: undefined }]);
}

/** MANY writes, one of which always waits while a batch is written; `next` resolves with the first of them. */
function stream(writer: BlockWriter) {
  const writes: Promise<void>[] = [];
  const one = () => void (writes.length < MANY && writes.push(write(writer, writes.length)));
  disk.before = (call) => {
    if (call === "sync") one();
  };
  one();
  return {
    next: () => writes[0],
    async end() {
      for (let done = 0; done < MANY; done++) await (writes[done] ?? write(writer, writes.length));
    },
  };
}
