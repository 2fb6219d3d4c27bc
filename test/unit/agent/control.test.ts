import { once } from "node:events";
import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { askAgent, type ControlAnswers, isServed, serveControl } from "../../../src/agent/control.ts";
import { openSocketPath, socketFile } from "../../../src/agent/control-socket.ts";
import type { AgentStatus, FlushReport, FreeReport, UnmountReport } from "../../../src/agent/reports.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { nameFromText } from "../../../src/base/names.ts";
import { SynclineError } from "../../../src/base/errors.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const status = { mount: "/m\u2028\u{1f600}\n" } as AgentStatus;
const flushed = { published: true } as FlushReport;
const unmounted = { drained: true } as UnmountReport;

function answers(some: Partial<ControlAnswers> = {}): ControlAnswers {
  const never = () => expect.unreachable();
  const known = { status: async () => status, flush: async () => flushed, unmount: async () => unmounted };
  return { ...known, pause: never, resume: never, ...some };
}

async function serve(folder: string, given: ControlAnswers): Promise<void> {
  const control = await serveControl(folder, given, systemClock);
  onTestFinished(async () => control[Symbol.asyncDispose]());
}

/** A client that stays connected, as one that is stopped does, and has sent this. */
async function connectForGood(folder: string, text = ""): Promise<void> {
  using path = openSocketPath(folder);
  const client = connect({ path: path.path, allowHalfOpen: true });
  client.on("error", () => {});
  onTestFinished(() => void client.destroy());
  await once(client, "connect");
  client.write(text);
}

/** Sends raw text and gives back every line that comes until the other side is done. */
async function speak(folder: string, text: string | Buffer, lines: number): Promise<unknown[]> {
  using path = openSocketPath(folder);
  const socket = connect(path.path);
  await once(socket, "connect");
  socket.write(text);
  let heard = "";
  for await (const chunk of socket) {
    heard += String(chunk);
    if (heard.split("\n").length > lines) break;
  }
  return heard
    .split("\n")
    .slice(0, lines)
    .map((line) => JSON.parse(line) as unknown);
}

describe("the control socket", () => {
  test("answers each call, with any name, and is accessible to its owner only", async () => {
    const folder = await temporaryFolder();
    const waited: (number | undefined)[] = [];
    const unmount = async (drainMs?: number) => {
      waited.push(drainMs);
      return unmounted;
    };
    await serve(folder, answers({ unmount }));
    expect(await askAgent<"status">(folder, { call: "status" })).toEqual(status);
    expect(await askAgent<"flush">(folder, { call: "flush" })).toEqual(flushed);
    expect(await askAgent<"unmount">(folder, { call: "unmount", drainMs: 1500 })).toEqual(unmounted);
    expect(await askAgent<"unmount">(folder, { call: "unmount" })).toEqual(unmounted);
    expect(waited).toEqual([1500, undefined]);
    expect((await stat(socketFile(folder))).mode & 0o777).toBe(0o600);
  });

  test("accepts pauses and pins only with valid arguments", async () => {
    const folder = await temporaryFolder();
    const asked: unknown[] = [];
    const report = { since: "s", until: null };
    const pause = async (forMs?: number) => (asked.push(forMs), report);
    const pin = async (paths: unknown) => (asked.push(paths), null);
    await serve(folder, answers({ pause, pin }));
    expect(await askAgent<"pause">(folder, { call: "pause", forMs: 5 })).toEqual(report);
    expect(await askAgent<"pause">(folder, { call: "pause" })).toEqual(report);
    expect(await askAgent<"pin">(folder, { call: "pin", paths: [[nameFromText("ä")], []] })).toBe(null);
    await expect(askAgent<"free">(folder, { call: "free", paths: [[]] })).rejects.toMatchObject({
      code: "not_supported",
    });
    expect(asked).toEqual([5, undefined, [[nameFromText("ä")], []]]);
    const refused = { error: { code: "usage" } };
    const lines = [
      '{"call":"pause","forMs":0}',
      '{"call":"pause","forMs":"1"}',
      '{"call":"pin"}',
      '{"call":"pin","paths":["a"]}',
      '{"call":"free","paths":["a"]}',
    ];
    for (const line of lines) expect(await speak(folder, `${line}\n`, 1)).toMatchObject([refused]);
    expect(await speak(folder, '{"call":"pin","paths":[["a/b"]]}\n', 1)).toMatchObject([
      { error: { code: "name_invalid" } },
    ]);
    expect(await speak(folder, '{"call":"unpin","paths":[["a"]]}\n', 1)).toMatchObject([
      { error: { code: "not_supported" } },
    ]);
    expect(asked).toHaveLength(3);
  });

  test("passes errors on with their codes and hints", async () => {
    const folder = await temporaryFolder();
    const busy = async () => {
      throw new SynclineError("mount_busy", "It is in use.", { hint: "Close it." });
    };
    const broken = async () => {
      throw new TypeError("of undefined");
    };
    await serve(folder, answers({ unmount: busy, flush: broken }));
    await expect(askAgent<"unmount">(folder, { call: "unmount", drainMs: 0 })).rejects.toMatchObject({
      code: "mount_busy",
      message: "It is in use.",
      hint: "Close it.",
    });
    await expect(askAgent<"flush">(folder, { call: "flush" })).rejects.toMatchObject({ code: "internal" });
  });

  test.each([
    ["invalid JSON", "hello"],
    ["an empty line", ""],
    ["null", "null"],
    ["a list", "[1]"],
    ["an unknown call", `{"call":"explode"}`],
    ["a method that every object has", `{"call":"toString"}`],
    ["an invalid time to drain", `{"call":"unmount","drainMs":"soon"}`],
    ["a negative time to drain", `{"call":"unmount","drainMs":-1}`],
    ["bytes that are not UTF-8", Buffer.from([0xff, 0xfe])],
  ])("refuses %s as usage, and serves the next line", async (_, line) => {
    const folder = await temporaryFolder();
    await serve(folder, answers());
    const text = Buffer.concat([Buffer.from(line), Buffer.from(`\n{"call":"flush"}\n`)]);
    expect(await speak(folder, text, 2)).toEqual(
      expect.arrayContaining([{ error: expect.objectContaining({ code: "usage" }) as unknown }, { ok: flushed }]),
    );
  });

  test("takes as many paths as a command line holds", async () => {
    const folder = await temporaryFolder();
    const free = async (paths: readonly unknown[]) => ({ files: paths.length }) as FreeReport;
    await serve(folder, answers({ free }));
    const paths = Array.from({ length: 5_000 }, (_, index) => ["a directory", `file ${index}`].map(nameFromText));
    expect(await askAgent<"free">(folder, { call: "free", paths })).toEqual({ files: 5_000 });
  });

  test("cuts off a client that sends without end", async () => {
    const folder = await temporaryFolder();
    await serve(folder, answers());
    expect(await speak(folder, "x".repeat(100 * 1024 * 1024), 1)).toMatchObject([{ error: { code: "usage" } }]);
    expect(await isServed(folder)).toBe(true);
  });

  test("answers one call while another waits, and survives a client that leaves", async () => {
    const folder = await temporaryFolder();
    const slow = Promise.withResolvers<FlushReport>();
    const asked = Promise.withResolvers<void>();
    const flush = () => {
      asked.resolve();
      return slow.promise;
    };
    await serve(folder, answers({ flush }));
    using path = openSocketPath(folder);
    const leaver = connect(path.path);
    leaver.write(`{"call":"flush"}\n`);
    await asked.promise;
    leaver.destroy();
    const waiting = askAgent<"flush">(folder, { call: "flush" });
    expect(await askAgent<"status">(folder, { call: "status" })).toEqual(status);
    slow.resolve(flushed);
    expect(await waiting).toEqual(flushed);
  });

  test("answers the call that ends the agent", async () => {
    const folder = await temporaryFolder();
    let ended: PromiseLike<void> | undefined;
    const unmount = async () => {
      ended = control[Symbol.asyncDispose]();
      return unmounted;
    };
    const control = await serveControl(folder, answers({ unmount }), systemClock);
    expect(await askAgent<"unmount">(folder, { call: "unmount", drainMs: 0 })).toEqual(unmounted);
    await ended;
    expect(await isServed(folder)).toBe(false);
  });

  test.each([
    ["a client stays connected", "", 1],
    ["a call takes long", '{"call":"flush"}\n', 2],
  ])("ends soon, although %s", async (_, text, seconds) => {
    const folder = await temporaryFolder();
    const clock = new ManualClock();
    const asked = Promise.withResolvers<void>();
    const flush = () => {
      asked.resolve();
      return new Promise<FlushReport>(() => {});
    };
    const control = await serveControl(folder, answers({ flush }), clock);
    await connectForGood(folder, text);
    if (text !== "") await asked.promise;
    const ended = control[Symbol.asyncDispose]();
    for (let second = 0; second < seconds; second++) {
      await vi.waitFor(() => expect(clock.count).toBe(1));
      await clock.advance(1_000);
    }
    await ended;
    expect(await isServed(folder)).toBe(false);
  });

  test("answers the call that ends the agent, however long it takes", async () => {
    const folder = await temporaryFolder();
    const clock = new ManualClock();
    const [asked, slow] = [Promise.withResolvers<void>(), Promise.withResolvers<UnmountReport>()];
    const unmount = () => {
      asked.resolve();
      return slow.promise;
    };
    const control = await serveControl(folder, answers({ unmount }), clock);
    const answer = askAgent<"unmount">(folder, { call: "unmount" });
    await asked.promise;
    const ended = control[Symbol.asyncDispose]();
    await clock.advance(60_000);
    slow.resolve(unmounted);
    expect(await answer).toEqual(unmounted);
    await ended;
  });

  test("reports no agent if the folder or the socket is missing, or the socket is stale", async () => {
    const folder = await temporaryFolder();
    const refused = (at: string) =>
      expect(askAgent<"status">(at, { call: "status" })).rejects.toMatchObject({ code: "no_agent" });
    await refused(join(folder, "missing"));
    await refused(folder);
    await writeFile(socketFile(folder), "");
    await refused(folder);
    expect(await isServed(folder)).toBe(false);
    // A new agent takes the place of what a killed one left.
    await serve(folder, answers());
    expect(await isServed(folder)).toBe(true);
  });

  test("gives up on an agent that does not answer in the requested time", async () => {
    const folder = await temporaryFolder();
    const clock = new ManualClock();
    const asked = Promise.withResolvers<void>();
    const never = () => {
      asked.resolve();
      return new Promise<AgentStatus>(() => {});
    };
    // Not ended after the test: that would wait for the answer.
    await serveControl(folder, answers({ status: never }), clock);
    const answer = askAgent<"status">(folder, { call: "status" }, { clock, ms: 10_000 }).catch(
      (error) => error as unknown,
    );
    await asked.promise;
    await clock.advance(10_000);
    expect(await answer).toMatchObject({ code: "time_out" });
  });

  test("waits for a long call while the agent answers others, and gives up on one that is silent", async () => {
    const folder = await temporaryFolder();
    const clock = new ManualClock();
    const flushing = Promise.withResolvers<void>();
    const timers = vi.spyOn(clock, "after");
    let isSilent = false;
    const flush = async () => {
      flushing.resolve();
      return new Promise<FlushReport>(() => {});
    };
    const look = async () => (isSilent ? new Promise<AgentStatus>(() => {}) : status);
    // Not ended after the test: that would wait for the answer.
    await serveControl(folder, answers({ flush, status: look }), clock);
    const patience = { clock, ms: 60_000, isLong: true };
    const answer = askAgent<"flush">(folder, { call: "flush" }, patience).catch((error) => error as unknown);
    await flushing.promise;
    // A look sets a timer for its answer; the answer sets the one for the next look.
    for (const count of [3, 5, 6]) {
      isSilent = count === 6;
      await clock.advance(60_000);
      await vi.waitFor(() => expect(timers).toHaveBeenCalledTimes(count));
    }
    await clock.advance(60_000);
    expect(await answer).toMatchObject({ code: "time_out" });
    expect(clock.count).toBe(0);
  });

  test("works in a folder whose path is too long for a socket", async ({ skip }) => {
    skip(process.platform !== "linux", "other systems refuse such folders");
    const folder = join(await temporaryFolder(), "d".repeat(120), "e".repeat(120));
    await mkdir(folder, { recursive: true });
    const control = await serveControl(folder, answers(), systemClock);
    expect(await askAgent<"flush">(folder, { call: "flush" })).toEqual(flushed);
    expect((await stat(socketFile(folder))).mode & 0o777).toBe(0o600);
    await control[Symbol.asyncDispose]();
    expect(await isServed(folder)).toBe(false);
  });

  test("cannot be reached through a folder that is closed to this user", async ({ skip }) => {
    skip(process.getuid?.() === 0, "root may look anywhere");
    const folder = await temporaryFolder();
    await serve(folder, answers());
    await chmod(folder, 0);
    await expect(askAgent<"status">(folder, { call: "status" })).rejects.toMatchObject({ code: "no_agent" });
    await chmod(folder, 0o700);
  });
});
