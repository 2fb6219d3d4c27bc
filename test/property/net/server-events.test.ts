import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { serverEvents, type ServerEvent } from "../../../src/net/event-stream.ts";

const RUNS = process.env["SYNCLINE_TEST_ALL"] === undefined ? 300 : 5000;

const words = fc.string({ unit: fc.constantFrom("a", "ü", "{", ":", " ", '"', "🙂"), maxLength: 12 });
const events = fc.array(
  fc.record({
    event: fc.constantFrom("root", "message", "other"),
    data: fc.array(words, { minLength: 1, maxLength: 3 }),
    id: fc.option(fc.integer({ min: 0, max: 99 }).map(String), { nil: undefined }),
    comment: fc.boolean(),
  }),
  { maxLength: 8 },
);
const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });
const ends = fc.constantFrom("\n", "\r\n", "\r");

describe("server-sent events", () => {
  test("are received as sent, however the stream is split", async () => {
    await fc.assert(
      fc.asyncProperty(events, cuts, ends, async (sent, lengths, end) => {
        const lines = sent.flatMap(({ event, data, id, comment }) => [
          ...(comment ? [": still here"] : []),
          ...(id === undefined ? [] : [`id: ${id}`]),
          `event: ${event}`,
          ...data.map((line) => `data: ${line}`),
          "",
        ]);
        const bytes = Buffer.from(lines.map((line) => line + end).join(""));
        const heard = await collect(serverEvents(inPieces(bytes, lengths)));
        let id: string | undefined;
        const expected = sent.map((each) => {
          id = each.id ?? id;
          return { event: each.event, data: each.data.join("\n"), id };
        });
        // The last event of a stream that ends its lines with a bare \r is only known to be over when more comes.
        const known = end === "\r" ? expected.slice(0, heard.length) : expected;
        expect(heard).toEqual(known);
        expect(known.length).toBeGreaterThanOrEqual(expected.length - 1);
      }),
      { numRuns: RUNS },
    );
  });

  test.each([
    ["one endless line", () => Buffer.alloc(50_000, "a")],
    ["one endless event", () => Buffer.from(`data: ${"a".repeat(10_000)}\n`)],
    ["one endless event of empty lines", () => Buffer.from("data\n".repeat(1_000))],
  ])("%s is cut off", async (_, piece) => {
    const long = (async function* () {
      for (let left = 100; left > 0; left--) yield piece();
    })();
    await expect(collect(serverEvents(long))).rejects.toMatchObject({ code: "limit_exceeded" });
  });

  test("an incomplete event at the end of the stream is dropped", async () => {
    expect(await collect(serverEvents(inPieces(Buffer.from("event: root\ndata: x\n"), [5])))).toEqual([]);
  });
});

async function* inPieces(bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

async function collect(items: AsyncIterable<ServerEvent | undefined>): Promise<ServerEvent[]> {
  const all: ServerEvent[] = [];
  for await (const item of items) if (item !== undefined) all.push(item);
  return all;
}
