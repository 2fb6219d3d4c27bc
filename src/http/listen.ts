/** Shared code of the program's HTTP servers: setting up node:http and node:https, listening, and ending. */
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Server as TcpServer } from "node:net";
import { SynclineError } from "../base/errors.ts";
import { HEADER_PATIENCE_MS, IDLE_CONNECTION_MS, MAX_HEADER_BYTES } from "../base/limits.ts";

/** PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface ListenAddress {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** With a certificate it speaks only TLS. Throws `config_invalid` (certificate or key). */
export function makeHttpServer(tls: Certificate | undefined): Server {
  if (tls === undefined) return createServer(HTTP);
  try {
    return createTlsServer({ ...HTTP, ...TLS, ...tls });
  } catch (cause) {
    throw new SynclineError("config_invalid", "The TLS certificate or its key cannot be used.", {
      hint: "Both must be PEM files, and the key must belong to the certificate.",
      cause,
    });
  }
}

/** Resolves once it listens. Throws `cannot_listen`. */
export async function listenAt(server: Server, { host, port }: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(cannotListen(host, port, cause)));
    server.listen({ host, port, backlog: 1024 }, resolve);
  });
}

/**
 * Accepts no more connections; resolves once the last one is closed. node:http's own close would cut connections whose
 * answer is written but not sent yet.
 */
export function stopListening(server: Server): Promise<void> {
  return new Promise((resolve) => void TcpServer.prototype.close.call(server, () => resolve()));
}

/** Call this after `stopListening`, once nothing is under way: ends node:http's timer for slow headers. */
export function endHttpServer(server: Server): void {
  server.close(() => {});
}

const HTTP = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: HEADER_PATIENCE_MS,
  keepAliveTimeout: IDLE_CONNECTION_MS,
  // A body may take hours on a slow line. Each server detects stalled ones in its own way.
  requestTimeout: 0,
  connectionsCheckingInterval: 5_000,
  insecureHTTPParser: false,
  // Each server decides how to answer a request without Host.
  requireHostHeader: false,
  noDelay: true,
} as const;
const TLS = { minVersion: "TLSv1.2", handshakeTimeout: HEADER_PATIENCE_MS } as const;

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): SynclineError {
  const inUse = cause.code === "EADDRINUSE";
  return new SynclineError("cannot_listen", `Cannot listen on ${host}, port ${port}: ${cause.message}.`, {
    hint: inUse ? "Another process listens there: stop it, or choose another port." : "Choose another address.",
    cause,
  });
}
