/**
 * A process's network to a simulated master, below the client that agents use. Requests and answers take time, get lost, or
 * are late; requests also arrive twice. A sender learns of a broken connection after a while.
 */
import type { Dispatcher } from "undici";
import type { Clock } from "../../base/clock.ts";
import type { Answer } from "../../master/http/route.ts";
import { fateOf, LATE_MS, PATIENCE_MS, travelMs, withFlippedBit } from "../disks/faulty-line.ts";
import type { Way } from "../site.ts";
import type { Answered, MasterRequest, SimulatedMaster } from "./simulated-master.ts";

export interface NetworkOptions extends Way {
  /** A master, or another server. */
  readonly master: Pick<SimulatedMaster, "answer">;
  /** The world's clock, not the process's: a request in transit arrives even if its sender died. */
  readonly clock: Clock;
  /** Called with each request that reaches the master, which may die while handling it. */
  readonly onArrived: (request: MasterRequest) => Promise<void>;
  /** Called with each request that the master handled, before its answer leaves. */
  readonly onServed: (request: MasterRequest, answer: Answer) => Promise<void>;
}

/** Replaces undici's pool of real connections (net/exchange.ts). */
export function simulatedDispatcher(options: NetworkOptions): Pick<Dispatcher, "dispatch"> {
  return {
    dispatch: (request, handler) => {
      void new Exchange(options, request, handler).run();
      return true;
    },
  };
}

class Exchange implements Dispatcher.DispatchController {
  aborted = false;
  reason: Error | null = null;
  readonly #options: NetworkOptions;
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #request: MasterRequest;
  readonly #gone = new AbortController();
  readonly #isOver = Promise.withResolvers<void>();
  #ended = false;
  #paused: PromiseWithResolvers<void> | undefined;

  constructor(options: NetworkOptions, sent: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.#options = options;
    this.#handler = handler;
    const pieces = (sent.body ?? []) as Iterable<Uint8Array>;
    this.#request = {
      method: sent.method,
      path: sent.path,
      headers: sent.headers as Record<string, string>,
      body: Buffer.concat([...pieces]),
      gone: this.#gone.signal,
    };
  }

  get paused(): boolean {
    return this.#paused !== undefined;
  }

  pause(): void {
    this.#paused ??= Promise.withResolvers<void>();
  }

  resume(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }

  abort(reason: Error): void {
    if (isSwap(this.#request) && !this.#ended) this.#options.onMissingReply();
    this.aborted = true;
    this.reason = reason;
    // Asynchronously, as sockets do.
    this.#options.clock.after(0, () => this.#fail(reason));
  }

  /** Never rejects. */
  async run(): Promise<void> {
    const { random, chances, counts, process } = this.#options;
    void process.death.then(() => this.#end());
    this.#handler.onRequestStart?.(this, {});
    const fate = fateOf(random, chances());
    if (fate !== "fine") counts.count(fate);
    await this.#travel();
    if (fate === "request late") this.#later();
    if (this.#isCut() || fate === "request lost" || fate === "request late") return this.#break();
    const answered = await this.#serve();
    if (fate === "request twice") this.#later();
    if (answered === undefined) return this.#break();
    await this.#travel();
    if (fate !== "reply lost" && !this.#isCut()) return this.#pass(answered);
    await discard(answered.answer);
    return this.#break();
  }

  async #serve(): Promise<Answered | undefined> {
    const { master, onArrived, onServed } = this.#options;
    await onArrived(this.#request);
    const answered = await master.answer(this.#request);
    if (answered !== undefined) await onServed(this.#request, answered.answer);
    return answered;
  }

  #later(): void {
    const { clock, random, onLate } = this.#options;
    const afterMs = LATE_MS * random.fraction();
    onLate(clock.monotonicMs() + afterMs);
    clock.after(afterMs, () => void this.#serve().then((answered) => answered && discard(answered.answer)));
  }

  async #pass({ answer, process }: Answered): Promise<void> {
    const { status, headers, json, body } = answer;
    if (isSwap(this.#request) && status >= 500) this.#options.onMissingReply();
    const pieces = piecesOf(json === undefined ? body : Buffer.from(JSON.stringify(json)));
    this.#tell(() => this.#handler.onResponseStart?.(this, status, { ...headers }, ""));
    for (;;) {
      const next = await Promise.race([pieces.next().catch(() => undefined), process.death, this.#isOver.promise]);
      const isBroken = next === undefined || process.isDead || this.#isCut();
      if (this.#ended || isBroken) {
        if (!process.isDead) void pieces.return();
        return this.#ended ? undefined : this.#break();
      }
      if (next.done === true) break;
      const piece = this.#flipped(next.value);
      this.#tell(() => this.#handler.onResponseData?.(this, piece));
      await Promise.race([this.#paused?.promise, this.#isOver.promise]);
    }
    this.#tell(() => this.#handler.onResponseEnd?.(this, {}));
    this.#end();
  }

  /** After a while the sender gets an error. */
  async #break(): Promise<void> {
    if (isSwap(this.#request)) this.#options.onMissingReply();
    await this.#options.clock.sleep(PATIENCE_MS);
    this.#fail(new Error("the connection broke"));
  }

  #fail(error: Error): void {
    this.#tell(() => this.#handler.onResponseError?.(this, error));
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#isOver.resolve();
    this.#gone.abort(new DOMException("the client went away", "AbortError"));
  }

  /** A dead process receives nothing. */
  #tell(work: () => void): void {
    if (!this.#ended && !this.#options.process.isDead) work();
  }

  #isCut(): boolean {
    const isCut = this.#options.isCut();
    if (isCut) this.#options.counts.count("partition");
    return isCut;
  }

  async #travel(): Promise<void> {
    await this.#options.clock.sleep(travelMs(this.#options.random));
  }

  #flipped(bytes: Uint8Array): Buffer {
    const { random, chances, counts } = this.#options;
    const copy = Buffer.from(bytes);
    if (copy.length === 0 || !isOfBlocks(this.#request) || random.fraction() >= chances().flip) return copy;
    counts.count("flipped bit");
    return Buffer.from(withFlippedBit(copy, random));
  }
}

function isSwap({ method }: MasterRequest): boolean {
  return method === "PUT";
}

/** Whether answers are blocks. All others are text, which only TCP protects. */
function isOfBlocks({ path }: MasterRequest): boolean {
  return path.startsWith("/ipfs/") || path === "/v1/blocks/get" || /^\/bucket\/(pack|commit|run)\//.test(path);
}

async function* piecesOf(body: Answer["body"]): AsyncGenerator<Uint8Array, void, void> {
  if (body === undefined) return;
  if (body instanceof Uint8Array) return yield body;
  for await (const pieces of body) yield* pieces instanceof Uint8Array ? [pieces] : pieces;
}

/** Closes a body that no process reads. */
async function discard({ body }: Answer): Promise<void> {
  if (body !== undefined && !(body instanceof Uint8Array)) await body[Symbol.asyncIterator]().return?.();
}
