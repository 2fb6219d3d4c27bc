/** The failure of an exchange with a server. */

/** The answer is missing or incomplete. */
export class Unanswered extends Error {
  /** Whether any part of the request may have reached the server. */
  readonly sent: boolean;
  /** How long the server had been silent, in ms. */
  readonly silentMs: number;
  constructor(sent: boolean, cause: unknown) {
    super(cause instanceof Error ? reasonOf(cause) : String(cause), { cause });
    this.name = "Unanswered";
    this.sent = sent;
    this.silentMs = cause instanceof SilenceError ? cause.ms : 0;
  }
}

/** The server said too little for so long, in ms. */
export class SilenceError extends Error {
  readonly ms: number;
  constructor(ms: number, message = `no data moved for ${Number((ms / 1_000).toPrecision(2))} s`) {
    super(message);
    this.ms = ms;
  }
}

/** For people: OpenSSL's messages hold addresses, source files and a line break, and Node.js adds advice on its own options. */
function reasonOf(cause: Error & { readonly code?: unknown; readonly reason?: unknown }): string {
  const { code, reason, message } = cause;
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") return "it speaks no TLS, perhaps http";
  if (typeof code === "string" && code.startsWith("ERR_SSL_")) return `TLS failed: ${String(reason)}`;
  return message.replace(/; if the root CA is installed locally.*$/, "");
}
