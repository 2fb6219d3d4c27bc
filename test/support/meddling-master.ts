/** A connection to a master that tampers with calls: loses answers, refuses, lies. All other calls pass unchanged. */
import { SynclineError } from "../../src/base/errors.ts";
import type { Capabilities } from "../../src/net/capabilities.ts";
import { Unanswered } from "../../src/net/unanswered.ts";
import type { Master, MasterAnswer, MasterRequest } from "../../src/net/master-connection.ts";

export interface Meddling {
  /** Called with every call before it is sent; its error or result replaces the master's answer. */
  before: ((request: MasterRequest) => MasterAnswer | undefined) | undefined;
  /** Called with every answer; its error or result replaces the answer. */
  after: ((request: MasterRequest, answer: MasterAnswer) => Promise<MasterAnswer> | MasterAnswer) | undefined;
}

export class MeddlingMaster implements Master {
  readonly address: string;
  readonly calls: string[] = [];
  readonly meddling: Meddling = { before: undefined, after: undefined };
  /** Bytes of bodies in transit: now, and the most so far. */
  bodyBytes = 0;
  mostBodyBytes = 0;
  readonly #inner: Master;

  constructor(inner: Master) {
    this.#inner = inner;
    this.address = inner.address;
  }

  async call(request: MasterRequest): Promise<MasterAnswer> {
    this.calls.push(`${request.method} ${request.path}`);
    const bytes = request.body?.bytes ?? 0;
    this.bodyBytes += bytes;
    this.mostBodyBytes = Math.max(this.mostBodyBytes, this.bodyBytes);
    try {
      const replaced = this.meddling.before?.(request);
      if (replaced !== undefined) return replaced;
      const answer = await this.#inner.call(request);
      return (await this.meddling.after?.(request, answer)) ?? answer;
    } finally {
      this.bodyBytes -= bytes;
    }
  }

  capabilities(): Promise<Capabilities> {
    return this.#inner.capabilities();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
  }
}

/** The error of a call whose answer is lost; `sent`: the master may have received the call. */
export function lost(sent: boolean): SynclineError {
  return new SynclineError("store_unreachable", "The master does not answer.", {
    cause: new Unanswered(sent, new Error("cut")),
  });
}

export function jsonAnswer(status: number, value: unknown): MasterAnswer {
  return { ...bytesAnswer(Buffer.from(JSON.stringify(value))), status, json: async () => value };
}

export function bytesAnswer(bytes: Uint8Array): MasterAnswer {
  const body = (async function* () {
    yield bytes;
  })();
  return { status: 200, headers: {}, body, read: async (take) => void take(bytes), json: async () => undefined };
}
