/**
 * Typed calls between the agent's two threads: the main one publishes, the worker serves the filesystem. Requests and
 * answers cross as structured clones; errors keep their code.
 */
import type { MessagePort, Worker } from "node:worker_threads";
import { SynclineError, type ErrorCode } from "../../base/errors.ts";

type Port = Pick<MessagePort | Worker, "postMessage" | "on" | "off">;

/** A set of async methods of one argument. */
export type Methods = Record<string, (argument: never) => unknown>;

export type Caller<M extends Methods> = <Name extends keyof M & string>(
  name: Name,
  argument: Parameters<M[Name]>[0],
) => Promise<Awaited<ReturnType<M[Name]>>>;

interface Message {
  readonly rpc: "request" | "answer" | "failure";
  readonly id: number;
  readonly name?: string;
  readonly value?: unknown;
  readonly code?: ErrorCode;
  readonly hint?: string | undefined;
}

/** Answers requests that arrive at `port`. Calls do not wait for one another. */
export function answerCalls<M extends Methods>(port: Port, methods: M): void {
  port.on("message", (message: Message) => {
    if (message?.rpc !== "request") return;
    void answer(port, methods, message);
  });
}

/** A function that calls methods on the other side. After `stop`, pending and later calls are rejected. */
export function createCaller<M extends Methods>(port: Port): { call: Caller<M>; stop: (error: Error) => void } {
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  let nextId = 1;
  let stopped: Error | undefined;
  port.on("message", (message: Message) => {
    if (message?.rpc !== "answer" && message?.rpc !== "failure") return;
    const waiting = open.get(message.id);
    open.delete(message.id);
    if (message.rpc === "answer") waiting?.resolve(message.value);
    else waiting?.reject(asError(message));
  });
  const call = (name: string, argument: unknown) =>
    new Promise<unknown>((resolve, reject) => {
      if (stopped !== undefined) return reject(stopped);
      const id = nextId++;
      // Throws here if the argument cannot be cloned.
      port.postMessage({ rpc: "request", id, name, value: argument } satisfies Message);
      open.set(id, { resolve, reject });
    });
  const stop = (error: Error) => {
    stopped = error;
    for (const { reject } of open.values()) reject(error);
    open.clear();
  };
  return { call: call as Caller<M>, stop };
}

async function answer(port: Port, methods: Methods, { id, name = "", value }: Message): Promise<void> {
  try {
    const method = methods[name];
    if (method === undefined) throw new SynclineError("internal", `Unknown call: ${name}.`);
    port.postMessage({ rpc: "answer", id, value: await method(value as never) } satisfies Message);
  } catch (error) {
    const known = error instanceof SynclineError ? error : undefined;
    const text = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
    port.postMessage({
      rpc: "failure",
      id,
      value: text,
      code: known?.code ?? "internal",
      hint: known?.hint,
    } satisfies Message);
  }
}

function asError({ code = "internal", value, hint }: Message): SynclineError {
  return new SynclineError(code, String(value), { hint });
}
