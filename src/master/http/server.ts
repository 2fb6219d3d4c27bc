/** The master's socket: node:http or node:https, set up so that what is not HTTP gets a clear answer and costs little. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, Server as TcpServer, type Socket } from "node:net";
import { SynclineError } from "../../base/errors.ts";
import {
  HEADER_PATIENCE_MS,
  IDLE_CONNECTION_MS,
  MAX_CONNECTIONS,
  MAX_HEADER_BYTES,
  MAX_IDLE_CONNECTIONS,
  MAX_IDLE_TLS_CONNECTIONS,
  STOP_MS,
} from "../../base/limits.ts";
import { answerRequest, type Service } from "./exchange.ts";
import { IdleConnections } from "../../net/idle-connections.ts";
import { Lane } from "../../net/lane.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** PEM texts; without them the master speaks plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** How many idle connections stay open, unless the limits of the program do. */
  readonly maxIdle?: number;
}

export class MasterServer {
  readonly #service: Service;
  readonly #server: Server;
  /** Connections that speak HTTP; and all, also those that are still about to agree on TLS. */
  readonly #lanes = new Map<Socket, Lane>();
  readonly #sockets = new Set<Socket>();
  readonly #idle: IdleConnections;
  /** Those that are about to agree on TLS, by the other end's address. */
  readonly #handshakes = new Map<string, Socket>();
  readonly #tls: boolean;

  private constructor(service: Service, { tls, maxIdle }: ListenOptions) {
    this.#service = service;
    this.#tls = tls !== undefined;
    this.#idle = new IdleConnections(maxIdle ?? (this.#tls ? MAX_IDLE_TLS_CONNECTIONS : MAX_IDLE_CONNECTIONS));
    this.#server = tls === undefined ? createServer(HTTP) : createTlsServer({ ...HTTP, ...TLS, ...tls });
    this.#server.maxHeadersCount = 0;
    this.#server.maxConnections = MAX_CONNECTIONS;
    const answer = (request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response);
    this.#server.on("request", answer).on("checkContinue", answer).on("checkExpectation", answer);
    this.#server.on("clientError", (error, socket) => this.#refuse(error, socket as Socket));
    this.#server.on("connection", (socket: Socket) => this.#connect(socket));
    if (this.#tls) this.#server.on("secureConnection", (socket: Socket) => this.#secure(socket));
    this.#server.on("connect", (_request, socket) => {
      const refusal = new Refusal("method_not_allowed", "This is no proxy.", { headers: { allow: "" } });
      writeRaw(socket as Socket, refusal);
    });
  }

  /** Throws `usage` (an address that cannot be had), `config_invalid` (certificate or key). */
  static async listen(service: Service, options: ListenOptions): Promise<MasterServer> {
    const server = openServer(service, options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", (cause) => reject(cannotListen(options, cause)));
      server.#server.listen({ host: options.host, port: options.port, backlog: 1024 }, resolve);
    });
    service.metrics.gauge("syncline_connections", "Connections that are open.", () => server.#sockets.size);
    return server;

    function openServer(service: Service, options: ListenOptions): MasterServer {
      try {
        return new MasterServer(service, options);
      } catch (cause) {
        throw new SynclineError("config_invalid", "The TLS certificate or its key cannot be used.", {
          hint: "Both are PEM files, and the key is the certificate's.",
          cause,
        });
      }
    }
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more, finishes what is under way, and closes; after STOP_MS, or once `hurry` fires, without finishing. */
  async stop(hurry?: AbortSignal): Promise<void> {
    this.#service.endings.stop();
    // Not node:http's own close, which cuts connections whose answer is written but not sent yet.
    const closed = new Promise<void>((resolve) => void TcpServer.prototype.close.call(this.#server, () => resolve()));
    for (const socket of this.#lanes.keys()) this.#closeIdle(socket);
    const cut = () => {
      for (const socket of this.#sockets) socket.destroy();
    };
    const timer = this.#service.clock.after(STOP_MS, cut);
    hurry?.addEventListener("abort", cut, { once: true });
    if (hurry?.aborted === true) cut();
    await closed;
    timer[Symbol.dispose]();
    hurry?.removeEventListener("abort", cut);
    // Ends the timer by which node:http looks for slow headers.
    this.#server.close(() => {});
  }

  #closeIdle(socket: Socket): void {
    if (this.#service.endings.stopping && this.#lanes.get(socket)?.isIdle === true) socket.destroySoon();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const lane = this.#lanes.get(socket) ?? this.#open(socket);
    this.#idle.delete(socket);
    const answered = lane.run(response, () => answerRequest(this.#service, request, response, lane));
    response.once("close", () => {
      if (lane.isIdle) this.#idle.add(socket);
      this.#closeIdle(socket);
    });
    await answered;
  }

  #connect(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#idle.delete(socket);
    });
    if (this.#tls) this.#awaitHandshake(socket);
    else this.#open(socket);
  }

  #awaitHandshake(socket: Socket): void {
    const peer = peerOf(socket);
    this.#handshakes.set(peer, socket);
    socket.once("close", () => {
      if (this.#handshakes.get(peer) === socket) this.#handshakes.delete(peer);
    });
    this.#idle.add(socket);
  }

  /** `socket` is another one than that of the handshake, which lies below it. */
  #secure(socket: Socket): void {
    const below = this.#handshakes.get(peerOf(socket));
    if (below !== undefined) this.#idle.delete(below);
    this.#open(socket);
  }

  #open(socket: Socket): Lane {
    const lane = new Lane(socket);
    this.#lanes.set(socket, lane);
    socket.once("close", () => {
      this.#lanes.delete(socket);
      this.#idle.delete(socket);
    });
    this.#idle.add(socket);
    this.#closeIdle(socket);
    return lane;
  }

  /** What the parser refused. Only a connection on which nothing else is said can be told. */
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!socket.writable || error.code === "ECONNRESET" || this.#lanes.get(socket)?.maySpeak === false) {
      socket.destroy();
      return;
    }
    const [code, message] = PARSER_REFUSALS[error.code ?? ""] ?? NOT_HTTP;
    writeRaw(
      socket,
      new Refusal(code, this.#tls && error.code === "ERR_SSL_HTTP_REQUEST" ? "This port speaks TLS." : message),
    );
  }
}

const HTTP = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADER_PATIENCE_MS,
  keepAliveTimeout: IDLE_CONNECTION_MS,
  // Bodies have a patience of their own (request-body.ts), which does not count the time that we take.
  requestTimeout: 0,
  connectionsCheckingInterval: 5_000,
  insecureHTTPParser: false,
  // Answered in JSON by the exchange.
  requireHostHeader: false,
  noDelay: true,
} as const;

const TLS = { minVersion: "TLSv1.2", handshakeTimeout: HEADER_PATIENCE_MS } as const;

/** Codes of node:http and its parser, llhttp. */
const PARSER_REFUSALS: Readonly<Record<string, readonly [RefusalCode, string]>> = {
  HPE_HEADER_OVERFLOW: ["headers_too_large", `Request line and headers are longer than ${MAX_HEADER_BYTES} bytes.`],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ["limit_exceeded", "The extensions of the body's chunks are too long."],
  ERR_HTTP_REQUEST_TIMEOUT: ["time_out", `The headers did not come within ${HEADER_PATIENCE_MS / 1000} s.`],
};
const NOT_HTTP: readonly [RefusalCode, string] = ["malformed_request", "This is not a well-formed HTTP/1.1 request."];

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function writeRaw(socket: Socket, refusal: Refusal): void {
  const body = `${JSON.stringify({ code: refusal.code, message: refusal.message })}\n`;
  const headers = Object.entries(refusal.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${refusal.status} Refused\r\nconnection: close\r\ncontent-type: application/json\r\n${headers.join("")}`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroySoon());
}

function cannotListen({ host, port }: ListenOptions, cause: NodeJS.ErrnoException): SynclineError {
  const inUse = cause.code === "EADDRINUSE";
  return new SynclineError("usage", `Cannot listen on ${host}, port ${port}: ${cause.message}.`, {
    hint: inUse
      ? "Something listens there already: stop it, or choose another port with --listen."
      : "Choose another --listen.",
    cause,
  });
}
