/** The failure of an exchange with a server. */

/** The answer is missing or incomplete. */
export class Unanswered extends Error {
  /** Whether any part of the request may have reached the server. */
  readonly sent: boolean;
  constructor(sent: boolean, cause: unknown) {
    super(cause instanceof Error ? reasonOf(cause) : String(cause), { cause });
    this.name = "Unanswered";
    this.sent = sent;
  }
}

/** For people: OpenSSL's messages hold addresses, source files and a line break, and Node.js adds advice on its own options. */
function reasonOf(cause: Error & { readonly code?: unknown; readonly reason?: unknown }): string {
  const { code, reason, message } = cause;
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") return "it speaks no TLS, perhaps http";
  if (typeof code === "string" && code.startsWith("ERR_SSL_")) return `TLS failed: ${String(reason)}`;
  return message.replace(/; if the root CA is installed locally.*$/, "");
}
