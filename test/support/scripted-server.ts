/** An HTTP server on loopback whose answers a test scripts, down to the raw socket, as no honest master would answer. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
}

export interface ScriptedServer {
  readonly origin: string;
  /** The requests in order, without the probes for capabilities. */
  readonly seen: Seen[];
  /** Answers everything but the probe for capabilities. */
  answer: (request: IncomingMessage, response: ServerResponse) => void;
  capabilities: unknown;
  /** Answers the probe for capabilities; by default, with `capabilities`. */
  probe: (request: IncomingMessage, response: ServerResponse) => void;
  close(): Promise<void>;
}

export async function scriptedServer(): Promise<ScriptedServer> {
  const server = createServer((request, response) => {
    const { method = "", url = "" } = request;
    if (url === "/fula/capabilities") return scripted.probe(request, response);
    scripted.seen.push({ method, url, authorization: request.headers.authorization });
    scripted.answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  const scripted: ScriptedServer = {
    origin: `http://127.0.0.1:${port}`,
    seen: [],
    answer: (_request, response) => json(response, 404, { code: "no_such_call", message: "nothing here" }),
    capabilities: { formats: [1], watch: true, rootCas: true, maxBlock: 1 << 22 },
    probe: (_request, response) => json(response, 200, scripted.capabilities),
    close,
  };
  onTestFinished(close);
  return scripted;
}

export function json(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}
