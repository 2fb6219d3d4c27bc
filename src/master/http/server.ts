/** The master's socket: node:http or node:https, set up so that what is not HTTP gets a clear answer and costs little. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, MAX_IDLE_TLS_CONNECTIONS, STOP_MS } from "../limits.ts";
import { Handshakes } from "../../net/handshakes.ts";
import {
  endHttpServer,
  listenAt,
  makeHttpServer,
  stopListening,
  type Certificate,
  type ListenAddress,
} from "../../net/http-server.ts";
import { IdleConnections } from "../../net/idle-connections.ts";
import { Lane } from "../../net/lane.ts";
import { Overruns } from "../../net/overruns.ts";
import { answerRequests, type NoRequest, type RawAnswer } from "../../net/no-request.ts";
import { answerRequest, type Service } from "./exchange.ts";

export interface ListenOptions extends ListenAddress {
  /** Without it the master speaks plain HTTP. */
  readonly tls: Certificate | undefined;
  /** Names under which it can be reached: the first is shown where it listens on every interface. */
  readonly names?: readonly string[];
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
  readonly #handshakes = new Handshakes();
  readonly #overruns: Overruns;
  readonly #tls: boolean;

  private constructor(service: Service, { tls, maxIdle }: ListenOptions) {
    this.#service = service;
    this.#overruns = new Overruns(service.clock);
    this.#tls = tls !== undefined;
    this.#idle = new IdleConnections(maxIdle ?? (this.#tls ? MAX_IDLE_TLS_CONNECTIONS : MAX_IDLE_CONNECTIONS));
    this.#server = makeHttpServer(tls);
    this.#server.maxHeadersCount = 0;
    this.#server.maxConnections = MAX_CONNECTIONS;
    answerRequests(this.#server, (socket) => this.#lanes.get(socket), {
      request: (request, response) => void this.#answer(request, response),
      noRequest: rawAnswer,
    });
    this.#server.on("connection", (socket: Socket) => this.#connect(socket));
    if (this.#tls) this.#server.on("secureConnection", (socket: Socket) => this.#secure(socket));
  }

  /** Throws `usage` (an address that cannot be had), `config_invalid` (certificate or key). */
  static async listen(service: Service, options: ListenOptions): Promise<MasterServer> {
    const server = new MasterServer(service, options);
    await listenAt(server.#server, options);
    return server;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Takes no more, finishes what is under way, and closes; after STOP_MS, or once `hurry` fires, without finishing. */
  async stop(hurry?: AbortSignal): Promise<void> {
    this.#service.endings.stop();
    const closed = stopListening(this.#server);
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
    endHttpServer(this.#server);
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
    if (!this.#tls) {
      this.#open(socket);
      return;
    }
    this.#handshakes.add(socket);
    this.#idle.add(socket);
  }

  #secure(socket: Socket): void {
    const below = this.#handshakes.below(socket);
    if (below !== undefined) this.#idle.delete(below);
    this.#open(socket);
  }

  #open(socket: Socket): Lane {
    const lane = new Lane(socket, () => this.#overruns.note(socket.remoteAddress));
    this.#overruns.admit(socket);
    this.#lanes.set(socket, lane);
    socket.once("close", () => {
      this.#lanes.delete(socket);
      this.#idle.delete(socket);
    });
    this.#idle.add(socket);
    this.#closeIdle(socket);
    return lane;
  }
}

function rawAnswer({ status, code, message, headers }: NoRequest): RawAnswer {
  const body = `${JSON.stringify({ code, message })}\n`;
  return { status, headers: { "content-type": "application/json", ...headers }, body };
}
