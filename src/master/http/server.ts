/** The master's socket: an HTTP server around its service. */
import {
  MAX_CONNECTIONS,
  MAX_IDLE_CONNECTIONS,
  MAX_IDLE_TLS_CONNECTIONS,
  MAX_STRANGER_CONNECTIONS,
  STOP_MS,
} from "../limits.ts";
import type { Certificate, ListenAddress } from "../../http/listen.ts";
import type { NoRequest, RawAnswer } from "../../http/no-request.ts";
import { HttpServer } from "../../http/server.ts";
import { answerRequest, type Service } from "./exchange.ts";

export interface ListenOptions extends ListenAddress {
  /** Without it the master speaks plain HTTP. */
  readonly tls: Certificate | undefined;
  /** Names of this server: the first is shown when it listens on all interfaces. */
  readonly names?: readonly string[];
  /** How many idle connections stay open; default: the program's limits. */
  readonly maxIdle?: number;
}

/** Throws `cannot_listen`, `config_invalid` (certificate or key). */
export function listenForService(service: Service, options: ListenOptions): Promise<HttpServer> {
  const { tls, maxIdle = tls === undefined ? MAX_IDLE_CONNECTIONS : MAX_IDLE_TLS_CONNECTIONS } = options;
  return HttpServer.listen({
    ...options,
    clock: service.clock,
    maxConnections: MAX_CONNECTIONS,
    maxStrangers: MAX_STRANGER_CONNECTIONS,
    maxIdle,
    stopMs: STOP_MS,
    serve: (request, response, lane) => answerRequest(service, request, response, lane),
    noRequest: rawAnswer,
  });
}

function rawAnswer({ status, code, message, headers }: NoRequest): RawAnswer {
  const body = `${JSON.stringify({ code, message })}\n`;
  return { status, headers: { "content-type": "application/json", ...headers }, body };
}
