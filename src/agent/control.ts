/** The control socket of a running agent, `control.sock` in the state folder, mode 0600: one JSON object per line. */
import { once } from "node:events";
import { chmodSync, existsSync, rmSync } from "node:fs";
import { createServer, connect, type Server, type Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { hasCode, SynclineError, type ErrorCode } from "../base/errors.ts";
import { failureOf } from "../base/failure.ts";
import { onLines, openSocketPath, socketFile } from "./control-socket.ts";
import { pinOf, type PinPath } from "./pins/pin-list.ts";
import type { PauseReport } from "./state/pause.ts";
import type { AgentStatus, FlushReport, FreeReport, PinsReport, UnmountReport } from "./reports.ts";

export type ControlRequest =
  | { readonly call: "status" }
  | { readonly call: "flush"; readonly allowDeletes?: string | undefined }
  | { readonly call: "handOver" }
  | { readonly call: "pause"; readonly forMs?: number | undefined }
  | { readonly call: "resume" }
  | { readonly call: "pin"; readonly paths: readonly PinPath[] }
  | { readonly call: "unpin"; readonly paths: readonly PinPath[] }
  | { readonly call: "free"; readonly paths: readonly PinPath[] }
  /** Agents of versions without --drain need `timeoutMs`. */
  | { readonly call: "unmount"; readonly drainMs?: number | undefined; readonly timeoutMs?: number };

export interface ControlAnswers {
  status(): Promise<AgentStatus>;
  /** `allowDeletes`: the digest of the deletions above the limit that are approved. */
  flush(allowDeletes?: string): Promise<FlushReport>;
  /** Answers, then ends this process so that the next one takes over. Absent, or rejects: `not_supported`. */
  handOver?(): Promise<object>;
  /** Stops syncing for `forMs`, or until `resume`. */
  pause(forMs?: number): Promise<PauseReport>;
  resume(): Promise<ResumeReport>;
  /** Adds these paths to the pins. Absent: `not_supported`. */
  pin?(paths: readonly PinPath[]): Promise<PinsReport | null>;
  unpin?(paths: readonly PinPath[]): Promise<PinsReport | null>;
  /** Frees the disk space that these paths take in the cache. Absent: `not_supported`. */
  free?(paths: readonly PinPath[]): Promise<FreeReport>;
  /** Publishes for at most `drainMs`, by default as long as the agent's own --drain says. */
  unmount(drainMs?: number): Promise<UnmountReport>;
}

export interface ResumeReport {
  readonly wasPaused: boolean;
}

type Answer = { readonly ok: unknown } | Failure;
interface Failure {
  readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
}

/** How long to wait for an answer; forever by default. */
export interface Patience {
  readonly clock: Clock;
  readonly ms: number;
  /** The call may take long. It is given up only once the agent leaves a `status` unanswered for `ms`. */
  readonly isLong?: boolean;
}

/** A command line's paths (ARG_MAX) may be relative to a deep directory. Only this user's programs can send requests. */
const MAX_REQUEST_BYTES = 64 * 1024 * 1024;
/** A status with a thousand conflicts takes 300 KiB. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Time that an ending agent gives to calls under way, and to clients for closing their side. */
const LEAVE_MS = 1_000;

/** The calls under way of all clients. */
interface UnderWay {
  /** They end the agent, and their callers await its report. */
  readonly ending: Set<Promise<void>>;
  readonly others: Set<Promise<void>>;
}

/**
 * Serves `answers` until disposed. That awaits the calls that end the agent, others only briefly: a flush may be long, and a
 * client may be stopped. Throws `config_invalid` if no socket can be made.
 */
export async function serveControl(stateDir: string, answers: ControlAnswers, clock: Clock): Promise<AsyncDisposable> {
  if (process.platform !== "win32") rmSync(socketFile(stateDir), { force: true });
  const path = openSocketPath(stateDir);
  const sockets = new Set<Socket>();
  const underWay: UnderWay = { ending: new Set(), others: new Set() };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    serveSocket(socket, answers, underWay);
  });
  await listen(server, path.path);
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      while (underWay.ending.size > 0) await Promise.all(underWay.ending);
      await within(LEAVE_MS, Promise.all(underWay.others), clock);
      for (const socket of sockets) socket.end();
      await within(LEAVE_MS, closed, clock);
      for (const socket of sockets) socket.destroy();
      await closed;
      path[Symbol.dispose]();
    },
  };
}

/**
 * Asks the agent of this state. Throws `no_agent` when none runs, `time_out` when it does not answer in time, and any error
 * that the agent answered.
 */
export async function askAgent<Call extends ControlRequest["call"]>(
  stateDir: string,
  request: Extract<ControlRequest, { call: Call }>,
  patience?: Patience,
): Promise<Awaited<ReturnType<Required<ControlAnswers>[Call]>>> {
  using path = openSocketPath(stateDir);
  const socket = connect(path.path);
  const hurry = patience && onSilence(stateDir, patience, (error) => socket.destroy(error));
  try {
    const answer = JSON.parse(await exchange(socket, JSON.stringify(request))) as Answer;
    if (!("error" in answer)) return answer.ok as Awaited<ReturnType<Required<ControlAnswers>[Call]>>;
    const { code, message, hint } = answer.error;
    throw new SynclineError(code, message, { hint });
  } finally {
    hurry?.[Symbol.dispose]();
    socket.destroy();
  }
}

/** Calls `giveUp` once the agent has been silent for longer than `patience` allows, unless disposed first. */
function onSilence(stateDir: string, patience: Patience, giveUp: (error: SynclineError) => void): Disposable {
  const { clock, ms, isLong = false } = patience;
  const look = async (): Promise<void> => {
    try {
      if (!isLong) throw noAnswer(ms);
      await askAgent<"status">(stateDir, { call: "status" }, { clock, ms });
    } catch (error) {
      if (hasCode(error, "time_out")) return giveUp(error);
    }
    if (!isOver) next = clock.after(ms, () => void look());
  };
  let isOver = false;
  let next = clock.after(ms, () => void look());
  return {
    [Symbol.dispose]: () => {
      isOver = true;
      next[Symbol.dispose]();
    },
  };
}

/** Whether an agent listens for this state; a socket that a killed agent left does not count. */
export async function isServed(stateDir: string): Promise<boolean> {
  if (process.platform !== "win32" && !existsSync(socketFile(stateDir))) return false;
  using path = openSocketPath(stateDir);
  const socket = connect(path.path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Awaits `work`, but no longer than `ms`. */
async function within(ms: number, work: Promise<unknown>, clock: Clock): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, clock.sleep(ms, done.signal).catch(() => {})]);
  done.abort();
}

function serveSocket(socket: Socket, answers: ControlAnswers, underWay: UnderWay): void {
  const reply = (answer: Answer) => void (socket.writable && socket.write(`${JSON.stringify(answer)}\n`));
  const heard = (line: string) => {
    const request = requestOf(line);
    if ("error" in request) return reply(request);
    const calls = request.call === "unmount" ? underWay.ending : underWay.others;
    // Starts after being counted as under way, since the call may end the agent.
    const answering = Promise.resolve()
      .then(() => answerOf(request, answers))
      .then(reply)
      .finally(() => calls.delete(answering));
    calls.add(answering);
  };
  onLines(socket, MAX_REQUEST_BYTES, heard, () => {
    reply(failure(new SynclineError("usage", "The request is too long.")));
    socket.end();
  });
}

function requestOf(line: string): ControlRequest | Failure {
  try {
    return parseRequest(line);
  } catch (error) {
    return failure(error);
  }
}

async function answerOf(request: ControlRequest, answers: ControlAnswers): Promise<Answer> {
  try {
    switch (request.call) {
      case "status":
        return { ok: await answers.status() };
      case "flush":
        return { ok: await answers.flush(request.allowDeletes) };
      case "handOver":
        if (answers.handOver === undefined) throw notReplaceable();
        return { ok: await answers.handOver() };
      case "pause":
        return { ok: await answers.pause(request.forMs) };
      case "resume":
        return { ok: await answers.resume() };
      case "pin":
      case "unpin": {
        const answer = answers[request.call];
        if (answer === undefined) throw notInCache("pinned");
        return { ok: await answer(request.paths) };
      }
      case "free":
        if (answers.free === undefined) throw notInCache("freed");
        return { ok: await answers.free(request.paths) };
      case "unmount":
        return { ok: await answers.unmount(request.drainMs) };
    }
  } catch (error) {
    return failure(error);
  }
}

export function notReplaceable(): SynclineError {
  return new SynclineError("not_supported", "This agent cannot hand over its mount.", {
    hint: "Only a mount can be handed over, but not one of an old state (`--at`). Stop the agent and start it again.",
  });
}

function notInCache(what: "pinned" | "freed"): SynclineError {
  return new SynclineError("not_supported", "A synced folder has all its files on this machine.", {
    hint: `Only paths in a mount can be ${what}.`,
  });
}

function failure(error: unknown): Failure {
  const { code, message, hint } = failureOf(error);
  return { error: { code, message, ...(hint !== undefined && { hint }) } };
}

/** Throws `usage` for an invalid request. */
function parseRequest(line: string): ControlRequest {
  const { call, drainMs, forMs, paths, allowDeletes } = objectOf(line);
  if (call === "status" || call === "handOver" || call === "resume") return { call };
  if (call === "pause" && forMs === undefined) return { call };
  if (call === "pause" && typeof forMs === "number" && forMs > 0) return { call, forMs };
  if (call === "pause") throw new SynclineError("usage", "The request needs a positive forMs.");
  if ((call === "pin" || call === "unpin" || call === "free") && Array.isArray(paths))
    return { call, paths: paths.map(pinOf) };
  if (call === "flush") return typeof allowDeletes === "string" ? { call, allowDeletes } : { call };
  if (call !== "unmount") throw new SynclineError("usage", "The agent does not know this call.");
  if (drainMs === undefined || (typeof drainMs === "number" && drainMs >= 0)) return { call, drainMs };
  throw new SynclineError("usage", "The request's drainMs must not be negative.");
}

function objectOf(line: string): {
  readonly [Key in "call" | "drainMs" | "forMs" | "paths" | "allowDeletes"]?: unknown;
} {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Not JSON: reported below.
  }
  throw new SynclineError("usage", "A request must be one JSON object on one line.");
}

function exchange(socket: Socket, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const failed = (cause?: unknown) => reject(cause instanceof SynclineError ? cause : noAgent(cause));
    socket.once("error", failed);
    socket.once("close", () => failed());
    socket.once("connect", () => socket.write(`${line}\n`));
    onLines(socket, MAX_ANSWER_BYTES, resolve, failed);
  });
}

function noAgent(cause: unknown): SynclineError {
  return new SynclineError("no_agent", "No agent answers for this mount.", {
    hint: "Mount it first: `syncline mount URL DIR`.",
    cause,
  });
}

function noAnswer(ms: number): SynclineError {
  return new SynclineError("time_out", `The agent did not answer within ${Math.round(ms / 1000)} s.`, {
    hint: "See agent.log in its state folder. The agent may be suspended, or its disk may hang.",
  });
}

async function listen(server: Server, path: string): Promise<void> {
  server.listen(path);
  await once(server, "listening");
  if (process.platform !== "win32") chmodSync(path, 0o600);
}
