/** The server's own answers to requests that do not reach the filesystem. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";

export interface Denial {
  readonly status: number;
  /** One sentence for people; it reveals nothing about the bucket. */
  readonly message: string;
  readonly headers?: OutgoingHttpHeaders;
}

/** Answers without reading the body: if one is on its way, the connection ends. */
export function deny(request: IncomingMessage, response: ServerResponse, denial: Denial): void {
  const body = `${denial.message}\n`;
  const hasBody =
    request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
  response.writeHead(denial.status, {
    "cache-control": "no-store",
    "content-type": "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body),
    ...(hasBody ? { connection: "close" } : {}),
    ...denial.headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
  request.resume();
}
