/** A pool of keep-alive connections to one origin. */
import type { Clock } from "../base/clock.ts";
import { SynclineError } from "../base/errors.ts";
import { Unanswered } from "./unanswered.ts";
import { LivePool, noting } from "./live-pool.ts";
import { ON_READ, sharingBuffer } from "./receive-buffer.ts";

export interface PoolOptions {
  readonly clock: Clock;
  /** PEM certificates that are trusted beside those of the system. */
  readonly tlsCa: string | undefined;
  readonly connections: number;
  readonly connectMs: number;
  readonly maxHeaderSize: number;
  /** Idle sockets are closed after this long; absent: as undici does. */
  readonly keepAliveMs?: number;
}

/** Loads what a pool needs early, so that the first request need not wait for it. */
export function loadAhead(): void {
  // The first request reports a failure.
  undici().catch(() => {});
}

/** Loads undici on demand, so that commands without a network skip it. Throws `config_invalid` for bad certificates. */
export async function openPool(origin: string, options: PoolOptions): Promise<LivePool> {
  const { clock, tlsCa, connections, connectMs, maxHeaderSize, keepAliveMs } = options;
  const { buildConnector, Pool } = await undici();
  const trusted = await secureContextOf(tlsCa);
  const connect = sharingBuffer(buildConnector({ timeout: connectMs, onread: ON_READ, allowH2: false, ...trusted }));
  const pool = {
    connections,
    allowH2: false,
    pipelining: 1,
    maxHeaderSize,
    ...(keepAliveMs !== undefined && { keepAliveTimeout: keepAliveMs, keepAliveMaxTimeout: keepAliveMs }),
  };
  return new LivePool({ clock, make: (uses) => new Pool(origin, { ...pool, connect: noting(connect, uses) }) });
}

/** Whether a server failed to prove its identity: trying again would end the same way. */
export function isUntrustedCause(cause: unknown): boolean {
  return cause instanceof Unanswered && UNTRUSTED.test(codeOf(cause.cause));
}

/** What to do about a server that failed to prove its identity. */
export function trustHint(cause: unknown): string {
  const code = cause instanceof Unanswered ? codeOf(cause.cause) : "";
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return "Whoever runs the server must renew its certificate, unless the clock of this machine is wrong.";
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return "Use a name that the certificate has, or have it made for this one.";
  return "If this is the right server, trust its certificate with --tls-ca FILE.";
}

/** OpenSSL's error codes for certificates that are not trusted or name another host. */
const UNTRUSTED = /CERT|SIGNATURE/;

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** A TLS context that trusts these certificates and Node.js's own. */
async function secureContextOf(tlsCa: string | undefined) {
  if (tlsCa === undefined) return {};
  const { createSecureContext, rootCertificates } = await import("node:tls");
  try {
    // TLS accepts any text as a CA: without this check, a bad file would only show up as an untrusted server.
    if (!tlsCa.includes("-----BEGIN CERTIFICATE-----")) throw new RangeError("the file has no certificate");
    return { secureContext: createSecureContext({ ca: [...rootCertificates, tlsCa] }) };
  } catch (cause) {
    throw new SynclineError("config_invalid", `Cannot use the certificates of --tls-ca: ${String(cause)}`, {
      hint: "The file must hold certificates in PEM form: -----BEGIN CERTIFICATE-----.",
      cause,
    });
  }
}

/** Two modules of undici alone: all of it takes three times as long to load. */
async function undici() {
  const [{ default: Pool }, { default: buildConnector }] = await Promise.all([
    import("undici/lib/dispatcher/pool.js"),
    import("undici/lib/core/connect.js"),
  ]);
  return { Pool, buildConnector };
}
