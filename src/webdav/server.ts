/**
 * The socket of the WebDAV door: node:http or node:https around a handler. Decides who gets as far as the handler: by the host that was
 * called, by where a change was begun, by password; and bounds what anybody can take: headers, connections, time.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { Handshakes } from "../net/handshakes.ts";
import {
  endHttpServer,
  listenAt,
  makeHttpServer,
  stopListening,
  type Certificate,
  type ListenAddress,
} from "../net/http-server.ts";
import { shownHost } from "../net/shown-host.ts";
import { IdleConnections } from "../net/idle-connections.ts";
import { Lane } from "../net/lane.ts";
import { Overruns } from "../net/overruns.ts";
import { answerRequests, answerRaw, type NoRequest, type RawAnswer } from "../net/no-request.ts";
import { deny, type Denial } from "./denial.ts";
import type { DavHandler } from "./handler.ts";
import { AllowedHosts } from "./hosts.ts";
import { MAX_CALLS, MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, STOP_MS } from "./limits.ts";
import { userOf, type Login } from "./login.ts";
import { headDenial, heedTargetHost } from "./request-head.ts";
import { isFromElsewhere } from "./same-origin.ts";
import { StalledRequests } from "./stalled.ts";
import { TurnedAway } from "./turned-away.ts";

export interface DavServerOptions extends ListenAddress {
  /** Without it it speaks plain HTTP. */
  readonly tls: Certificate | undefined;
  /** Names under which it may be called, besides those of this machine itself and `host`. */
  readonly names: readonly string[];
  /** Undefined: whoever reaches it is let in. */
  readonly login: Login | undefined;
  /** Answers what is let in. Never rejects. */
  readonly handler: DavHandler;
  readonly clock: Clock;
  readonly log: Log;
  /** For tests: how many connections at once, and how many of them idle. */
  readonly maxConnections?: number;
  readonly maxIdle?: number;
  /** And how many requests that hold more than a connection. */
  readonly maxCalls?: number;
}

export class DavServer {
  readonly #options: DavServerOptions;
  readonly #server: Server;
  readonly #hosts: AllowedHosts;
  /** On which no request is under way: those that never had one do not drive out those that had. */
  readonly #idle: IdleConnections;
  readonly #silent: IdleConnections;
  readonly #stalled: StalledRequests;
  readonly #turnedAway: TurnedAway;
  readonly #lanes = new Map<Socket, Lane>();
  /** All connections, also those that are still about to agree on TLS. */
  readonly #sockets = new Set<Socket>();
  readonly #handshakes = new Handshakes();
  readonly #overruns: Overruns;
  #stopping = false;

  private constructor(options: DavServerOptions) {
    const { tls, maxIdle = MAX_IDLE_CONNECTIONS } = options;
    this.#options = options;
    this.#hosts = new AllowedHosts(options.host, options.names);
    this.#idle = new IdleConnections(maxIdle);
    this.#silent = new IdleConnections(maxIdle);
    this.#overruns = new Overruns(options.clock);
    this.#stalled = new StalledRequests(options.clock);
    this.#turnedAway = new TurnedAway(options.log, options.clock);
    this.#server = makeHttpServer(tls);
    // None is dropped: what is too many is refused as a whole.
    this.#server.maxHeadersCount = 0;
    answerRequests(this.#server, (socket) => this.#lanes.get(socket), {
      request: (request, response) => void this.#answer(request, response),
      noRequest: rawAnswer,
    });
    this.#server.on("connection", (socket: Socket) => this.#connect(socket));
    if (tls !== undefined) this.#server.on("secureConnection", (socket: Socket) => this.#secure(socket));
  }

  /** Throws `usage` (an address that cannot be had), `config_invalid` (certificate or key). */
  static async listen(options: DavServerOptions): Promise<DavServer> {
    const server = new DavServer(options);
    await listenAt(server.#server, options);
    return server;
  }

  /** "http://127.0.0.1:8888/" */
  get url(): string {
    const { tls, names } = this.#options;
    const host = shownHost(this.#options.host, names);
    const { port } = this.#server.address() as AddressInfo;
    return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}/`;
  }

  /** Takes no more, finishes what is under way, and closes; after STOP_MS without finishing. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const closed = stopListening(this.#server);
    for (const socket of this.#sockets) if (this.#lanes.get(socket)?.isIdle !== false) socket.destroySoon();
    const timer = this.#options.clock.after(STOP_MS, () => this.#cut());
    await closed;
    timer[Symbol.dispose]();
    this.#end();
  }

  /** Ends everything now. */
  close(): void {
    this.#stopping = true;
    void stopListening(this.#server);
    this.#cut();
    this.#end();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #end(): void {
    this.#stalled[Symbol.dispose]();
    this.#turnedAway[Symbol.dispose]();
    endHttpServer(this.#server);
  }

  #connect(socket: Socket): void {
    const { maxConnections = MAX_CONNECTIONS, tls } = this.#options;
    if (this.#stopping || this.#sockets.size >= maxConnections) {
      if (!this.#stopping) this.#turnedAway.note("connections");
      if (tls !== undefined) socket.destroy();
      else answerRaw(socket, rawAnswer(OVERLOADED));
      return;
    }
    this.#sockets.add(socket);
    this.#silent.add(socket);
    this.#overruns.admit(socket);
    if (tls !== undefined) this.#handshakes.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#forget(socket);
    });
  }

  #secure(socket: Socket): void {
    const below = this.#handshakes.below(socket);
    if (below !== undefined) this.#forget(below);
    this.#silent.add(socket);
    socket.once("close", () => this.#forget(socket));
  }

  #forget(socket: Socket): void {
    this.#idle.delete(socket);
    this.#silent.delete(socket);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const lane = this.#laneOf(socket);
    this.#forget(socket);
    // One after the other: a client that sends a change and a question at once means them in this order.
    const answered = lane.run(response, () => this.#serve(request, response));
    response.once("close", () => {
      if (!lane.isIdle) return;
      if (this.#stopping) socket.destroySoon();
      else this.#idle.add(socket);
    });
    await answered;
  }

  #laneOf(socket: Socket): Lane {
    const known = this.#lanes.get(socket);
    if (known !== undefined) return known;
    const lane = new Lane(socket, () => this.#overruns.note(socket.remoteAddress), 1);
    this.#lanes.set(socket, lane);
    socket.once("close", () => this.#lanes.delete(socket));
    return lane;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of COMMON_HEADERS) response.setHeader(name, value);
    const { maxCalls = MAX_CALLS } = this.#options;
    if (this.#stalled.working >= maxCalls && !this.#stalled.endOne()) return this.#deny(request, response, BUSY);
    const closed = new Promise<void>((resolve) => void response.once("close", () => resolve()));
    this.#stalled.watch(request, response);
    const denial = headDenial(request) ?? this.#misled(request) ?? (await this.#options.login?.check(request));
    if (denial !== undefined) return this.#deny(request, response, denial);
    await this.#options.handler(request, response, this.#options.login === undefined ? undefined : userOf(request));
    // The connection's next request waits until the answer has left.
    await closed;
  }

  #deny(request: IncomingMessage, response: ServerResponse, denial: Denial): void {
    if (denial.status === 503) this.#turnedAway.note("requests");
    deny(request, response, denial);
  }

  /** Whether somebody's browser was made to call us. From here on Host is whom the request is for. */
  #misled(request: IncomingMessage): Denial | undefined {
    heedTargetHost(request);
    const { host } = request.headers;
    if (!this.#hosts.permits(host, request.socket.localAddress)) {
      return { status: 421, message: "This server does not go by that name. Name it with --host." };
    }
    return isFromElsewhere(request)
      ? { status: 403, message: "A page from elsewhere may change nothing here." }
      : undefined;
  }
}

/** On every answer; the handler may set stricter ones. No CORS header is ever among them. */
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

const OVERLOADED = {
  status: 503,
  message: "Too many connections. Try again soon.",
  headers: { "retry-after": "5" },
};

function rawAnswer({
  status,
  message,
  headers,
}: Pick<NoRequest, "message" | "headers"> & { status: number }): RawAnswer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers }, body: `${message}\n` };
}
