/**
 * The program's HTTP server: node:http or node:https, set up so that invalid requests get a clear answer at low cost. It
 * bounds connections, idle ones among them, and the concurrent requests of a connection. `serve` handles the requests.
 * Frameworks hide when a body is read and how a connection ends. Stopping avoids `closeIdleConnections`, which cuts unsent answers.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import { Handshakes } from "./handshakes.ts";
import { IdleConnections } from "./idle-connections.ts";
import { Lane } from "./lane.ts";
import {
  endHttpServer,
  listenAt,
  makeHttpServer,
  stopListening,
  type Certificate,
  type ListenAddress,
} from "./listen.ts";
import { answerRaw, attachAnswers, type NoRequest, type RawAnswer } from "./no-request.ts";
import { Overruns } from "./overruns.ts";
import { originOf } from "./shown-host.ts";
import { Strangers } from "./strangers.ts";

export interface HttpServerOptions extends ListenAddress {
  /** Undefined: plain HTTP. */
  readonly tls: Certificate | undefined;
  /** Names under which it can be reached. The first is shown if it listens on every interface. */
  readonly names?: readonly string[];
  readonly clock: Clock;
  /** The most connections at a time, and the most idle ones among them: beyond, the longest idle are closed. */
  readonly maxConnections: number;
  readonly maxIdle: number;
  /** Whether connections without any request yet have their own bound, also `maxIdle`: they displace no others. */
  readonly boundsSilentApart?: boolean;
  /** Requests of one connection processed at once; MAX_CONNECTION_CALLS by default. */
  readonly callsOfConnection?: number;
  /**
   * The most connections whose callers are strangers, that is until `Lane.prove`: beyond, some are cut, and also if there are
   * too many connections. Undefined: callers are not told apart.
   */
  readonly maxStrangers?: number;
  /** How long requests under way may take once the server stops. */
  readonly stopMs: number;
  /** Answers one request. Never rejects. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, lane: Lane) => Promise<void>;
  /** Sent instead of the answers that node:http would generate. */
  readonly noRequest: (noRequest: NoRequest) => RawAnswer;
  /** The answer to a connection for which there is no room, on plain HTTP. Undefined: it is closed. */
  readonly tooMany?: () => RawAnswer;
}

export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  /** Connections that had a request; and all connections, including those before their TLS handshake. */
  readonly #lanes = new Map<Socket, Lane>();
  readonly #sockets = new Set<Socket>();
  /** Connections with no request under way: those that had one, and those that never did. May be the same. */
  readonly #idle: IdleConnections;
  readonly #silent: IdleConnections;
  readonly #handshakes = new Handshakes();
  /** The TLS socket on top of a connection, once the handshake is done. */
  readonly #secured = new WeakMap<Socket, Socket>();
  readonly #overruns: Overruns;
  readonly #strangers: Strangers | undefined;
  #isStopping = false;

  private constructor(options: HttpServerOptions) {
    const { tls, clock, maxIdle, maxStrangers } = options;
    this.#options = options;
    this.#strangers = maxStrangers === undefined ? undefined : new Strangers(maxStrangers);
    this.#overruns = new Overruns(clock);
    this.#idle = new IdleConnections(maxIdle);
    this.#silent = options.boundsSilentApart === true ? new IdleConnections(maxIdle) : this.#idle;
    this.#server = makeHttpServer(tls);
    // Fields are never dropped: a request with too many is refused.
    this.#server.maxHeadersCount = 0;
    attachAnswers(this.#server, (socket) => this.#lanes.get(socket), {
      request: (request, response) => void this.#answer(request, response),
      noRequest: options.noRequest,
    });
    this.#server.on("connection", (socket: Socket) => this.#connect(socket));
    if (tls !== undefined) this.#server.on("secureConnection", (socket: Socket) => this.#secure(socket));
  }

  /** Throws `cannot_listen`, `config_invalid` (certificate or key). */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const server = new HttpServer(options);
    await listenAt(server.#server, options);
    return server;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** "http://127.0.0.1:8888" */
  get origin(): string {
    const { port } = this.#server.address() as AddressInfo;
    return originOf(this.#options, port);
  }

  /** Accepts nothing more, finishes what is under way, and closes: at once after `stopMs` or when `hurry` fires. */
  async stop(hurry?: AbortSignal): Promise<void> {
    this.#isStopping = true;
    const closed = stopListening(this.#server);
    for (const socket of this.#sockets) this.#closeIdle(socket);
    const cut = () => this.#cut();
    const timer = this.#options.clock.after(this.#options.stopMs, cut);
    hurry?.addEventListener("abort", cut, { once: true });
    if (hurry?.aborted === true) cut();
    await closed;
    timer[Symbol.dispose]();
    hurry?.removeEventListener("abort", cut);
    endHttpServer(this.#server);
  }

  close(): void {
    this.#isStopping = true;
    void stopListening(this.#server);
    this.#cut();
    endHttpServer(this.#server);
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #closeIdle(socket: Socket): void {
    const speaking = this.#secured.get(socket) ?? socket;
    if (this.#lanes.get(speaking)?.isIdle !== false) speaking.destroySoon();
  }

  #connect(socket: Socket): void {
    const { maxConnections, tls, tooMany } = this.#options;
    const isFull = this.#sockets.size >= maxConnections;
    if (this.#isStopping || (isFull && this.#strangers?.cutOne() !== true)) {
      const answer = this.#isStopping ? undefined : tooMany?.();
      if (answer === undefined || tls !== undefined) socket.destroy();
      else answerRaw(socket, answer);
      return;
    }
    this.#sockets.add(socket);
    this.#silent.add(socket);
    this.#strangers?.add(socket);
    this.#overruns.admit(socket);
    if (tls !== undefined) this.#handshakes.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#forget(socket);
      this.#strangers?.delete(socket);
    });
  }

  #secure(socket: Socket): void {
    const below = this.#handshakes.below(socket);
    if (below !== undefined) {
      this.#forget(below);
      this.#strangers?.delete(below);
      this.#secured.set(below, socket);
    }
    this.#silent.add(socket);
    this.#strangers?.add(socket);
    socket.once("close", () => {
      this.#forget(socket);
      this.#strangers?.delete(socket);
    });
  }

  #forget(socket: Socket): void {
    this.#idle.delete(socket);
    this.#silent.delete(socket);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const lane = this.#laneOf(socket);
    this.#forget(socket);
    const answered = lane.run(response, () => this.#options.serve(request, response, lane));
    response.once("close", () => {
      if (!lane.isIdle) return;
      if (this.#isStopping) socket.destroySoon();
      else this.#idle.add(socket);
    });
    await answered;
  }

  #laneOf(socket: Socket): Lane {
    const known = this.#lanes.get(socket);
    if (known !== undefined) return known;
    const strangers = this.#strangers;
    const stranger = strangers && { tryWait: () => strangers.tryWait(socket), proved: () => strangers.delete(socket) };
    const overrun = () => this.#overruns.note(socket.remoteAddress);
    const lane = new Lane(socket, overrun, this.#options.callsOfConnection, stranger);
    this.#lanes.set(socket, lane);
    socket.once("close", () => this.#lanes.delete(socket));
    return lane;
  }
}
