/** An exchange with a limit on bytes per second, and a server that reads and sends as fast as it can. */
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { RateLimit } from "../../../src/base/rate-limit.ts";
import { exchange, type ExchangeAnswer, type ExchangeRequest } from "../../../src/net/exchange.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const RATE = 10_000;
const SILENCE_MS = 10_000;

/** A server that counts the bytes it gets, and sends parts of 1,000 bytes unless it is paused. */
class FastServer {
  sent = 0;
  isAborted = false;
  #isPaused = false;
  #left = 0;
  #handler: Dispatcher.DispatchHandler | undefined;
  readonly #controller = {
    pause: () => void (this.#isPaused = true),
    resume: () => {
      this.#isPaused = false;
      this.#give();
    },
    abort: () => void (this.isAborted = true),
  } as unknown as Dispatcher.DispatchController;

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#handler = handler;
    handler.onRequestStart?.(this.#controller, {});
    void this.#take(options.body as unknown as AsyncIterable<Uint8Array> | null);
    return true;
  }

  answer(bytes: number): void {
    this.#left = bytes;
    this.#handler?.onResponseStart?.(this.#controller, 200, {}, "OK");
    this.#give();
  }

  async #take(body: AsyncIterable<Uint8Array> | null): Promise<void> {
    try {
      for await (const piece of body ?? []) this.sent += piece.length;
    } catch {
      // The exchange is over.
    }
  }

  #give(): void {
    while (!this.#isPaused && this.#left > 0) {
      this.#left -= 1_000;
      this.#handler?.onResponseData?.(this.#controller, Buffer.alloc(1_000));
    }
    if (this.#left === 0) this.#handler?.onResponseEnd?.(this.#controller, {});
  }
}

function begin(request: Partial<ExchangeRequest>, rate = RATE) {
  const clock = new ManualClock();
  const server = new FastServer();
  const limit = new RateLimit(clock, [{ fromMinute: 0, bytesPerS: rate }]);
  const fixed = { method: "PUT", path: "/", headers: {}, silenceMs: SILENCE_MS, leastBytes: 1 } as const;
  const answered = exchange(server, clock, "http://host", { ...fixed, limit, ...request });
  answered.catch(() => {});
  return { clock, server, answered };
}

/** Reads an answer, and counts its bytes as they come. */
function counted({ read }: ExchangeAnswer) {
  const sum = { bytes: 0 };
  const over = read((part) => {
    sum.bytes += part.length;
    return "more";
  });
  return { sum, over };
}

test("a body is sent at the rate, even if it comes as one large piece", async () => {
  const { clock, server } = begin({ body: [new Uint8Array(500_000)] });
  const sent: number[] = [];
  for (let second = 0; second <= 50; second += 10) {
    sent.push(server.sent);
    await clock.advance(10_000);
  }
  for (const [at, bytes] of sent.entries()) {
    expect(bytes).toBeLessThanOrEqual(at * 100_000 + RATE / 10);
    expect(bytes).toBeGreaterThanOrEqual(at * 100_000 - 32_768);
  }
  expect(server.sent).toBe(500_000);
});

test("an answer is read at the rate, and waiting for the limit does not count as the server's silence", async () => {
  const { clock, server, answered } = begin({ method: "GET" });
  server.answer(500_000);
  const { sum, over } = counted(await answered);
  await clock.advance(20_000);
  expect(sum.bytes).toBeLessThanOrEqual(220_000);
  expect(sum.bytes).toBeGreaterThanOrEqual(180_000);
  await clock.advance(40_000);
  await over;
  expect(sum.bytes).toBe(500_000);
});

test("an exchange outlives a wait for the limit that is longer than the silence allowed", async () => {
  const { clock, server } = begin({ body: [new Uint8Array(20_000)] }, 1_000);
  await clock.advance(15_000);
  expect([server.sent, server.isAborted]).toEqual([0, false]);
  await clock.advance(8_000);
  expect([server.sent, server.isAborted]).toEqual([20_000, false]);
});

test("a server that does not answer after the body is given up, as without a limit", async () => {
  const { clock, server, answered } = begin({ body: [new Uint8Array(20_000)] });
  await clock.advance(2_000 + SILENCE_MS * 2);
  expect(server.isAborted).toBe(true);
  await expect(answered).rejects.toThrow("no data moved for 10 s");
});

test("once the body is sent the answer may take longer to begin, but not between its parts", async () => {
  const { clock, server, answered } = begin({ body: [new Uint8Array(20_000)], answerMs: 60_000 });
  await clock.advance(2_000 + 55_000);
  expect([server.sent, server.isAborted]).toEqual([20_000, false]);
  server.answer(0);
  await expect((await answered).read(() => "more")).resolves.toBeUndefined();
  const late = begin({ body: [new Uint8Array(20_000)], answerMs: 60_000 });
  await late.clock.advance(2_000 + 75_000);
  expect(late.server.isAborted).toBe(true);
  await expect(late.answered).rejects.toThrow("no data moved for 60 s");
});

test("an answer that comes before its request is sent arrives at once", async () => {
  const { clock, server, answered } = begin({ body: [new Uint8Array(500_000)] });
  server.answer(2_000);
  const { sum, over } = counted(await answered);
  await clock.advance(10_000);
  await over;
  expect(sum.bytes).toBe(2_000);
});

test("the end of an exchange ends its wait for the limit", async () => {
  const end = new AbortController();
  const { clock, server, answered } = begin({ body: [new Uint8Array(1_000_000)], signals: [end.signal] });
  await clock.advance(1_000);
  end.abort(new Error("ended"));
  await expect(answered).rejects.toThrow("ended");
  const { sent } = server;
  await clock.advance(100_000);
  expect([server.sent - sent, clock.count]).toEqual([0, 0]);
});
