/**
 * The WebDAV door's socket: node:http or node:https around a handler. Decides which requests reach the handler: by host, by
 * the origin of a change, and by password. Bounds what clients can use: headers, connections, time.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Ports } from "../base/ports.ts";
import type { Certificate, ListenAddress } from "../http/listen.ts";
import type { NoRequest, RawAnswer } from "../http/no-request.ts";
import { HttpServer } from "../http/server.ts";
import { deny, type Denial } from "../http/denial.ts";
import type { DavHandler } from "./handler.ts";
import { AllowedHosts } from "../http/hosts.ts";
import { MAX_CALLS, MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, STOP_MS } from "./limits.ts";
import { userOf, type Login } from "./sign-in/login.ts";
import { headDenial, setHostFromTarget } from "../http/request-head.ts";
import { isFromElsewhere } from "../http/same-origin.ts";
import { StalledRequests } from "../http/stalled.ts";
import { TurnedAway } from "../http/turned-away.ts";

export interface DavServerOptions extends ListenAddress, Pick<Ports, "clock" | "log"> {
  /** Undefined: plain HTTP. */
  readonly tls: Certificate | undefined;
  /** Names under which it may be called, besides those of this machine and `host`. */
  readonly names: readonly string[];
  /** Undefined: no sign-in is required. */
  readonly login: Login | undefined;
  /** Answers permitted requests. Never rejects. */
  readonly handler: DavHandler;
  /** For tests: the most connections at once, and the most idle ones. */
  readonly maxConnections?: number;
  readonly maxIdle?: number;
  /** The most requests that hold more than a connection. */
  readonly maxCalls?: number;
}

export class DavServer {
  readonly #gate: Gate;
  readonly #server: HttpServer;

  private constructor(gate: Gate, server: HttpServer) {
    this.#gate = gate;
    this.#server = server;
  }

  /** Throws `cannot_listen`, `config_invalid` (certificate or key). */
  static async listen(options: DavServerOptions): Promise<DavServer> {
    const { maxConnections = MAX_CONNECTIONS, maxIdle = MAX_IDLE_CONNECTIONS } = options;
    const gate = new Gate(options);
    const server = await HttpServer.listen({
      ...options,
      maxConnections,
      maxIdle,
      boundsSilentApart: true,
      // One at a time: a client that sends a change and a query at once means them in this order.
      callsOfConnection: 1,
      stopMs: STOP_MS,
      serve: (request, response) => gate.serve(request, response),
      noRequest: rawAnswer,
      tooMany: () => gate.tooMany(),
    });
    return new DavServer(gate, server);
  }

  /** "http://127.0.0.1:8888/" */
  get url(): string {
    return `${this.#server.origin}/`;
  }

  /** Accepts nothing more, finishes what is under way, and closes; after STOP_MS it closes at once. */
  async stop(): Promise<void> {
    await this.#server.stop();
    this.#gate[Symbol.dispose]();
  }

  close(): void {
    this.#server.close();
    this.#gate[Symbol.dispose]();
  }
}

/** Decides which requests reach the handler. */
class Gate implements Disposable {
  readonly #options: DavServerOptions;
  readonly #hosts: AllowedHosts;
  readonly #stalled: StalledRequests;
  readonly #turnedAway: TurnedAway;

  constructor(options: DavServerOptions) {
    this.#options = options;
    this.#hosts = new AllowedHosts(options.host, options.names);
    this.#stalled = new StalledRequests(options.clock);
    this.#turnedAway = new TurnedAway(options.log, options.clock);
  }

  [Symbol.dispose](): void {
    this.#stalled[Symbol.dispose]();
    this.#turnedAway[Symbol.dispose]();
  }

  /** The answer to a connection beyond the bound. */
  tooMany(): RawAnswer {
    this.#turnedAway.note("connections");
    return rawAnswer(OVERLOADED);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of COMMON_HEADERS) response.setHeader(name, value);
    const { maxCalls = MAX_CALLS } = this.#options;
    if (this.#stalled.working >= maxCalls && !this.#stalled.endOne()) return this.#deny(request, response, BUSY);
    const closed = new Promise<void>((resolve) => void response.once("close", () => resolve()));
    this.#stalled.watch(request, response);
    const denial = headDenial(request) ?? this.#misled(request) ?? (await this.#options.login?.check(request));
    if (denial !== undefined) return this.#deny(request, response, denial);
    const { login, handler } = this.#options;
    await handler(request, response, login && { user: userOf(request), recheck: login.watch(request) });
    // The connection's next request waits until the answer is sent.
    await closed;
  }

  #deny(request: IncomingMessage, response: ServerResponse, denial: Denial): void {
    if (denial.status === 503) this.#turnedAway.note("requests");
    deny(request, response, denial);
  }

  /** Whether a page made a browser call us. From here on Host is the host that the request is for. */
  #misled(request: IncomingMessage): Denial | undefined {
    setHostFromTarget(request);
    const { host } = request.headers;
    if (!this.#hosts.permits(host, request.socket.localAddress)) {
      return { status: 421, message: "This server does not accept that host name. Allow it with --host." };
    }
    return isFromElsewhere(request)
      ? { status: 403, message: "A page from another site may not change anything here." }
      : undefined;
  }
}

/** On every answer; the handler may set stricter ones. CORS headers are never among them. */
const COMMON_HEADERS = [
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["cross-origin-resource-policy", "same-origin"],
  ["x-frame-options", "DENY"],
] as const;

const BUSY: Denial = {
  status: 503,
  message: "Too many requests at once. Try again soon.",
  headers: { "retry-after": "1" },
};

const OVERLOADED = { status: 503, message: "Too many connections. Try again soon.", headers: { "retry-after": "5" } };

function rawAnswer({
  status,
  message,
  headers,
}: Pick<NoRequest, "message" | "headers"> & { status: number }): RawAnswer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers }, body: `${message}\n` };
}
