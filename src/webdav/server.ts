/**
 * The socket of the WebDAV door: node:http or node:https around a handler. Decides who gets as far as the handler: by the host that was
 * called, by where a change was begun, by password; and bounds what anybody can take: headers, connections, time.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, Server as TcpServer, type Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import { HEADER_PATIENCE_MS, IDLE_CONNECTION_MS, MAX_HEADER_BYTES } from "../base/limits.ts";
import { IdleConnections } from "../net/idle-connections.ts";
import { Lane } from "../net/lane.ts";
import { deny, type Denial } from "./denial.ts";
import type { DavHandler } from "./handler.ts";
import { AllowedHosts } from "./hosts.ts";
import { MAX_CALLS, MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, STOP_MS } from "./limits.ts";
import type { Login } from "./login.ts";
import { isFromElsewhere } from "./same-origin.ts";
import { StalledRequests } from "./stalled.ts";

export interface DavServerOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** PEM texts; without them it speaks plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Names under which it may be called, besides those of this machine itself and `host`. */
  readonly names: readonly string[];
  /** Undefined: whoever reaches it is let in. */
  readonly login: Login | undefined;
  /** Answers what is let in. Never rejects. */
  readonly handler: DavHandler;
  readonly clock: Clock;
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
  readonly #lanes = new Map<Socket, Lane>();
  /** All connections, also those that are still about to agree on TLS. */
  readonly #sockets = new Set<Socket>();
  /** With TLS, by the other end's address. */
  readonly #handshakes = new Map<string, Socket>();
  #stopping = false;

  private constructor(options: DavServerOptions) {
    const { tls, maxIdle = MAX_IDLE_CONNECTIONS } = options;
    this.#options = options;
    this.#hosts = new AllowedHosts(options.host, options.names);
    this.#idle = new IdleConnections(maxIdle);
    this.#silent = new IdleConnections(maxIdle);
    this.#stalled = new StalledRequests(options.clock);
    this.#server = tls === undefined ? createServer(HTTP) : createTlsServer({ ...HTTP, ...TLS, ...tls });
    this.#server.maxHeadersCount = MAX_HEADERS;
    const answer = (request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response);
    this.#server.on("request", answer).on("checkContinue", answer).on("checkExpectation", answer);
    this.#server.on("clientError", (error, socket) => this.#refuse(error, socket as Socket));
    this.#server.on("connection", (socket: Socket) => this.#connect(socket));
    if (tls !== undefined) this.#server.on("secureConnection", (socket: Socket) => this.#secure(socket));
    this.#server.on("connect", (_request, socket) => writeRaw(socket as Socket, "405 Refused", "This is no proxy."));
  }

  /** Throws `usage` (an address that cannot be had), `config_invalid` (certificate or key). */
  static async listen(options: DavServerOptions): Promise<DavServer> {
    const server = DavServer.#make(options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", (cause) => reject(cannotListen(options, cause)));
      server.#server.listen({ host: options.host, port: options.port, backlog: 1024 }, resolve);
    });
    return server;
  }

  static #make(options: DavServerOptions): DavServer {
    try {
      return new DavServer(options);
    } catch (cause) {
      throw new SynclineError("config_invalid", "The TLS certificate or its key cannot be used.", {
        hint: "Both are PEM files, and the key is the certificate's.",
        cause,
      });
    }
  }

  /** "http://127.0.0.1:8888/" */
  get url(): string {
    const { host, tls } = this.#options;
    const { port } = this.#server.address() as AddressInfo;
    return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}/`;
  }

  /** Takes no more, finishes what is under way, and closes; after STOP_MS without finishing. */
  async stop(): Promise<void> {
    this.#stopping = true;
    // Not node:http's own close, which cuts connections whose answer is written but not sent yet.
    const closed = new Promise<void>((resolve) => void TcpServer.prototype.close.call(this.#server, () => resolve()));
    for (const socket of this.#sockets) if (this.#lanes.get(socket)?.isIdle !== false) socket.destroySoon();
    const timer = this.#options.clock.after(STOP_MS, () => this.#cut());
    await closed;
    timer[Symbol.dispose]();
    this.#end();
  }

  /** Ends everything now. */
  close(): void {
    this.#stopping = true;
    TcpServer.prototype.close.call(this.#server);
    this.#cut();
    this.#end();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #end(): void {
    this.#stalled[Symbol.dispose]();
    // Ends the timer by which node:http looks for slow headers.
    this.#server.close(() => {});
  }

  #connect(socket: Socket): void {
    const { maxConnections = MAX_CONNECTIONS, tls } = this.#options;
    if (this.#stopping || this.#sockets.size >= maxConnections) {
      if (tls !== undefined) socket.destroy();
      else writeRaw(socket, "503 Busy", "Too many connections. Try again soon.", "retry-after: 5\r\n");
      return;
    }
    this.#sockets.add(socket);
    this.#silent.add(socket);
    const peer = peerOf(socket);
    if (tls !== undefined) this.#handshakes.set(peer, socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#forget(socket);
      if (this.#handshakes.get(peer) === socket) this.#handshakes.delete(peer);
    });
  }

  /** `socket` is another one than that of the handshake, which lies below it. */
  #secure(socket: Socket): void {
    const below = this.#handshakes.get(peerOf(socket));
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
    const lane = new Lane(socket, 1);
    this.#lanes.set(socket, lane);
    socket.once("close", () => this.#lanes.delete(socket));
    return lane;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of COMMON_HEADERS) response.setHeader(name, value);
    const { maxCalls = MAX_CALLS } = this.#options;
    if (this.#stalled.working >= maxCalls && !this.#stalled.endOne()) return deny(request, response, BUSY);
    const closed = new Promise<void>((resolve) => void response.once("close", () => resolve()));
    this.#stalled.watch(request, response);
    const denial = this.#misled(request) ?? (await this.#options.login?.check(request));
    if (denial !== undefined) return deny(request, response, denial);
    await this.#options.handler(request, response);
    // The connection's next request waits until the answer has left.
    await closed;
  }

  /** Whether somebody's browser was made to call us. */
  #misled(request: IncomingMessage): Denial | undefined {
    const { host } = request.headers;
    if (!this.#hosts.permits(host, request.socket.localAddress)) {
      return { status: 421, message: "This server does not go by that name. Name it with --host." };
    }
    return isFromElsewhere(request)
      ? { status: 403, message: "A page from elsewhere may change nothing here." }
      : undefined;
  }

  /** What the parser refused. Only a connection on which nothing else is said can be told. */
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!socket.writable || error.code === "ECONNRESET" || this.#lanes.get(socket)?.maySpeak === false) {
      socket.destroy();
      return;
    }
    const [status, message] = PARSER_REFUSALS[error.code ?? ""] ?? NOT_HTTP;
    writeRaw(socket, status, message);
  }
}

const MAX_HEADERS = 128;
const HTTP = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADER_PATIENCE_MS,
  keepAliveTimeout: IDLE_CONNECTION_MS,
  // A slow line may take hours for a file: what stands still is found by stalled.ts.
  requestTimeout: 0,
  connectionsCheckingInterval: 5_000,
  insecureHTTPParser: false,
  requireHostHeader: false,
  noDelay: true,
} as const;
const TLS = { minVersion: "TLSv1.2", handshakeTimeout: HEADER_PATIENCE_MS } as const;

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

/** Codes of node:http and its parser, llhttp. */
const PARSER_REFUSALS: Readonly<Record<string, readonly [string, string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Refused", `Request line and headers are longer than ${MAX_HEADER_BYTES} bytes.`],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ["413 Refused", "The extensions of the body's chunks are too long."],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Refused", `The headers did not come within ${HEADER_PATIENCE_MS / 1000} s.`],
};
const NOT_HTTP: readonly [string, string] = ["400 Refused", "This is not a well-formed HTTP/1.1 request."];

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function writeRaw(socket: Socket, status: string, message: string, headers = ""): void {
  const body = `${message}\n`;
  const head = `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n${headers}`;
  socket.on("error", () => socket.destroy());
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroySoon());
}

function cannotListen({ host, port }: DavServerOptions, cause: NodeJS.ErrnoException): SynclineError {
  const inUse = cause.code === "EADDRINUSE";
  return new SynclineError("usage", `Cannot listen on ${host}, port ${port}: ${cause.message}.`, {
    hint: inUse ? "Something listens there already: stop it, or choose another port." : "Choose another address.",
    cause,
  });
}
