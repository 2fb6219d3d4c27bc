/** Answers to invalid requests of an HTTP server: those that node:http's parser refuses, other versions, CONNECT. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { HEADER_PATIENCE_MS, MAX_HEADER_BYTES } from "../base/limits.ts";
import type { Lane } from "./lane.ts";

export interface NoRequest {
  readonly status: 400 | 405 | 408 | 413 | 431 | 505;
  readonly code:
    | "malformed_request"
    | "method_not_allowed"
    | "time_out"
    | "limit_exceeded"
    | "headers_too_large"
    | "version_unknown";
  /** One sentence for people. */
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that node:http does not send for us. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Answers {
  request(request: IncomingMessage, response: ServerResponse): void;
  /** The connection ends after it. */
  noRequest(noRequest: NoRequest): RawAnswer;
}

/** `laneOf`: the lane of a connection, if it had requests. */
export function attachAnswers(server: Server, laneOf: (socket: Socket) => Lane | undefined, answers: Answers): void {
  const answer = (connection: Duplex, noRequest: NoRequest, isLost: boolean): void => {
    const socket = connection as Socket;
    // An error can be sent only while nothing else is being sent on the connection.
    if (isLost || !socket.writable || laneOf(socket)?.maySpeak === false) endSocket(socket);
    else answerRaw(socket, answers.noRequest(noRequest));
  };
  const take = (request: IncomingMessage, response: ServerResponse): void => {
    const { httpVersion, socket } = request;
    if (httpVersion === "1.1" || httpVersion === "1.0") answers.request(request, response);
    else answer(socket, VERSION, laneOf(socket)?.isIdle === false);
  };
  server.on("request", take).on("checkContinue", take).on("checkExpectation", take);
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    answer(socket, REFUSED_BY_PARSER[error.code ?? ""] ?? NOT_HTTP, error.code === "ECONNRESET");
  });
  server.on("connect", (_request, socket) => answer(socket, CONNECT, false));
}

/** Sends the answer and ends the connection. */
export function answerRaw(socket: Socket, { status, headers, body }: RawAnswer): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${status} Refused\r\nconnection: close\r\n${lines.join("")}content-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  ignoreErrors(socket);
  socket.end(`${head}${body}`, () => socket.destroySoon());
}

function endSocket(socket: Socket): void {
  ignoreErrors(socket);
  socket.destroy();
}

/** After CONNECT node:http stops listening to the socket: an unhandled error, such as a reset, would end the process. */
function ignoreErrors(socket: Socket): void {
  socket.on("error", () => socket.destroy());
}

/** By error codes of node:http and its parser, llhttp. */
const REFUSED_BY_PARSER: Readonly<Record<string, NoRequest>> = {
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: "headers_too_large",
    message: `The request line and headers are longer than ${MAX_HEADER_BYTES} bytes.`,
  },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: {
    status: 413,
    code: "limit_exceeded",
    message: "The body's chunk extensions are too long.",
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: "time_out",
    message: `The headers did not arrive within ${HEADER_PATIENCE_MS / 1000} s.`,
  },
  ERR_SSL_HTTP_REQUEST: { status: 400, code: "malformed_request", message: "This port speaks TLS." },
};
const NOT_HTTP: NoRequest = {
  status: 400,
  code: "malformed_request",
  message: "This is not a well-formed HTTP/1.1 request.",
};
/** The parser accepts 0.9 and 2.0. */
const VERSION: NoRequest = {
  status: 505,
  code: "version_unknown",
  message: "Only HTTP/1.1 and HTTP/1.0 are supported.",
};
const CONNECT: NoRequest = {
  status: 405,
  code: "method_not_allowed",
  message: "This server is not a proxy.",
  headers: { allow: "" },
};
