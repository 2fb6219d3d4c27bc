/** The search for whole frames in the journals of the overlay and of a master, among bytes that only look like headers. */
import { beforeEach, describe, expect, test, vi } from "vitest";
import { crc32 } from "node:zlib";
import { RangeChecksums } from "../../../../src/base/range-checksums.ts";
import { encodeFrame, readJournal } from "../../../../src/master/store/row-journal.ts";
import {
  alignedFrameBytes,
  FRAME_HEADER_BYTES,
  findFrames,
  sealFrame,
} from "../../../../src/overlay/journal/journal-frame.ts";
import { seededRandom } from "../../../../src/simulate/seeded-random.ts";

/** Bytes that checksums were computed of. */
const work = vi.hoisted(() => ({ bytes: 0 }));

vi.mock(import("node:zlib"), async (original) => {
  const zlib = await original();
  return {
    ...zlib,
    crc32: (data: string | NodeJS.ArrayBufferView, value?: number) => {
      work.bytes += typeof data === "string" ? data.length : data.byteLength;
      return zlib.crc32(data, value);
    },
  };
});

beforeEach(() => {
  work.bytes = 0;
});

const LENGTH = 1 << 17;
/** Bytes that a search may compute checksums of for each byte that it searches. */
const MOST_WORK = 200;

/** As many headers as fit, each announcing that its frame goes on to the end. */
function headers(frame: Uint8Array, step: number, lengthOf: (left: number) => number): Buffer {
  const bytes = Buffer.alloc(LENGTH);
  for (let at = 0; at + step <= bytes.length; at += step) {
    bytes.set(frame.subarray(0, step), at);
    bytes.writeUInt32LE(lengthOf(bytes.length - at), at + 4);
  }
  return bytes;
}

function frameOf(payload: Uint8Array, number: number): Buffer {
  const frame = Buffer.alloc(alignedFrameBytes(FRAME_HEADER_BYTES + payload.length));
  frame.set(payload, FRAME_HEADER_BYTES);
  sealFrame(frame, payload.length, { number, synced: number - 1, salt: 0 });
  return frame;
}

describe("a search through headers without frames", () => {
  test("in the overlay's journal checksums a bounded number of bytes per byte read", () => {
    const found = [
      ...findFrames(
        headers(frameOf(Buffer.of(), 1), 8, (left) => Math.max(left - 64, 0)),
        0,
      ),
    ];
    expect(found).toEqual([]);
    expect(work.bytes).toBeLessThan(MOST_WORK * LENGTH);
  });

  test("in a master's journal of rows checksums a bounded number of bytes per byte read", () => {
    const { frames } = readJournal(
      headers(encodeFrame(0, 0, []), 8, (left) => Math.max(Math.floor((left - 20) / 40), 0)),
    );
    expect(frames).toEqual([]);
    expect(work.bytes).toBeLessThan(MOST_WORK * LENGTH);
  });
});

test("complete frames are found between headers without frames", () => {
  const payloads = ["", "seven b", "x".repeat(5000)].map((text) => Buffer.from(text));
  const decoy = headers(frameOf(Buffer.of(), 1), 8, () => LENGTH - 4096).subarray(0, 4096);
  const frames = payloads.flatMap((payload, at) => [decoy, frameOf(payload, 5 + at)]);
  const found = [...findFrames(Buffer.concat([...frames, Buffer.alloc(LENGTH)]), 0)];
  expect(found.map(({ number, payload }) => [number, payload.toString()])).toEqual(
    payloads.map((payload, at) => [5 + at, payload.toString()]),
  );
});

test("range checksums match zlib's crc32 for any range and any starting value", () => {
  const random = seededRandom(3);
  const bytes = Buffer.from(random.bytes(5000));
  const checksums = new RangeChecksums(bytes);
  const below = (end: number) => Math.floor(random.fraction() * end);
  for (let turn = 0; turn < 500; turn++) {
    const from = below(bytes.length + 1);
    const to = from + below(bytes.length + 1 - from);
    const before = below(2 ** 32);
    expect(checksums.of(from, to, before)).toBe(crc32(bytes.subarray(from, to), before));
  }
});
