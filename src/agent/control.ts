/**
 * The control socket of a running agent: one JSON object a line in, one out. `control.sock` in the state folder, mode 0600.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, connect, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { SynclineError, type ErrorCode } from "../base/errors.ts";
import type { AgentStatus, FlushReport, UnmountReport } from "./reports.ts";

export type ControlRequest =
  | { readonly call: "status" }
  | { readonly call: "flush" }
  | { readonly call: "unmount"; readonly timeoutMs: number };

export interface ControlAnswers {
  status(): Promise<AgentStatus>;
  flush(): Promise<FlushReport>;
  unmount(timeoutMs: number): Promise<UnmountReport>;
}

type Answer =
  | { readonly ok: unknown }
  | { readonly error: { readonly code: ErrorCode; readonly message: string; readonly hint?: string } };

/** A request line longer than this is not ours. */
const MAX_LINE_CHARS = 64 * 1024;

/** Serves `answers` until disposed. */
export async function serveControl(stateDir: string, answers: ControlAnswers): Promise<AsyncDisposable> {
  const path = socketPath(stateDir);
  if (process.platform !== "win32") rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const underWay = new Set<Promise<void>>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    serveSocket(socket, answers, underWay);
  });
  await listen(server, path);
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // The call that ends the agent wants its answer too.
      await Promise.all(underWay);
      for (const socket of sockets) socket.end();
      await closed;
    },
  };
}

/** Asks the agent of this state. Throws `no_agent` when none runs, else what the agent answered as an error. */
export async function askAgent<Call extends ControlRequest["call"]>(
  stateDir: string,
  request: Extract<ControlRequest, { call: Call }>,
): Promise<Awaited<ReturnType<ControlAnswers[Call]>>> {
  const line = await exchange(socketPath(stateDir), JSON.stringify(request));
  const answer = JSON.parse(line) as Answer;
  if ("error" in answer) {
    const { code, message, hint } = answer.error;
    throw new SynclineError(code, message, hint === undefined ? {} : { hint });
  }
  return answer.ok as Awaited<ReturnType<ControlAnswers[Call]>>;
}

function serveSocket(socket: Socket, answers: ControlAnswers, underWay: Set<Promise<void>>): void {
  const lines = createInterface({ input: socket });
  lines.on("line", (line) => {
    const answering = answerTo(socket, line, answers);
    underWay.add(answering);
    void answering.finally(() => underWay.delete(answering));
  });
  lines.on("error", () => socket.destroy());
}

async function answerTo(socket: Socket, line: string, answers: ControlAnswers): Promise<void> {
  const answer = await answerLine(line, answers);
  if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
}

async function answerLine(line: string, answers: ControlAnswers): Promise<Answer> {
  try {
    if (line.length > MAX_LINE_CHARS) throw new SynclineError("usage", "The request is too long.");
    const request = JSON.parse(line) as ControlRequest;
    switch (request.call) {
      case "status":
        return { ok: await answers.status() };
      case "flush":
        return { ok: await answers.flush() };
      case "unmount":
        return { ok: await answers.unmount(request.timeoutMs) };
      default:
        throw new SynclineError("usage", "The agent does not know this call.");
    }
  } catch (error) {
    const known = error instanceof SynclineError ? error : new SynclineError("internal", String(error));
    const hint = known.hint === undefined ? {} : { hint: known.hint };
    return { error: { code: known.code, message: known.message, ...hint } };
  }
}

function exchange(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const noAgent = (cause?: unknown) =>
      reject(
        new SynclineError("no_agent", "No agent answers for this mount.", {
          hint: "Mount it first: `syncline mount URL DIR`.",
          cause,
        }),
      );
    socket.once("error", noAgent);
    socket.once("connect", () => socket.write(`${line}\n`));
    const lines = createInterface({ input: socket });
    lines.once("line", (answer) => {
      socket.end();
      resolve(answer);
    });
    lines.once("close", () => noAgent());
    lines.on("error", noAgent);
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      if (process.platform !== "win32") chmodSync(path, 0o600);
      resolve();
    });
  });
}

function socketPath(stateDir: string): string {
  return process.platform === "win32"
    ? `\\\\.\\pipe\\syncline-${stateDir.replaceAll(/[^\w]/g, "-")}`
    : join(stateDir, "control.sock");
}
