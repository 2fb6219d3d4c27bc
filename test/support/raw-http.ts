/** A client that sends exactly the bytes given: for requests that no HTTP library would make. */
import { connect, type Socket } from "node:net";
import { once } from "node:events";

export interface RawAnswer {
  readonly status: number;
  /** Header names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The body that begins there, and where it ends; undefined while incomplete. */
type BodyReader = (
  headers: Readonly<Record<string, string>>,
  at: number,
) => { readonly body: string; readonly end: number } | undefined;

export class RawClient {
  readonly socket: Socket;
  #text = "";
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding("latin1");
    const onEnd = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("data", (piece: string) => {
      this.#text += piece;
      this.#wake();
    });
    socket.on("end", onEnd).on("close", onEnd);
    // A server that closes early may reset data in transit.
    socket.on("error", () => {});
  }

  /** `localAddress`: this machine's address from which it calls, such as 127.0.0.2. */
  static async open(origin: string, localAddress?: string): Promise<RawClient> {
    const { hostname, port } = new URL(origin);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true, localAddress });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  send(bytes: string | Uint8Array): this {
    this.socket.write(bytes);
    return this;
  }

  /** The next answer, with its body if it states a length; a `HEAD` has none. Rejects if the connection ends before. */
  async answer(to: "HEAD" | "others" = "others"): Promise<RawAnswer> {
    return this.#next((headers, at) => sized(this.#text, at, to === "HEAD" ? {} : headers));
  }

  /** As `answer`, also for a chunked body. */
  async wholeAnswer(): Promise<RawAnswer> {
    return this.#next((headers, at) =>
      headers["transfer-encoding"] === "chunked" ? chunked(this.#text, at) : sized(this.#text, at, headers),
    );
  }

  async #next(bodyOf: BodyReader): Promise<RawAnswer> {
    for (;;) {
      const parsed = this.#parse(bodyOf);
      if (parsed !== undefined) return parsed;
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#text)}`);
      await this.#changed();
    }
  }

  /** Everything after the last answer, once the server has closed. */
  async rest(): Promise<string> {
    await this.closed();
    return this.#text;
  }

  /** Resolves when the server has ended its side. */
  async closed(): Promise<void> {
    while (!this.#ended) await this.#changed();
    this.socket.end();
  }

  close(): void {
    this.socket.destroy();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #parse(bodyOf: BodyReader): RawAnswer | undefined {
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [first = "", ...lines] = this.#text.slice(0, end).split("\r\n");
    const status = Number(first.split(" ")[1]);
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const name = line.slice(0, line.indexOf(":")).toLowerCase();
      const value = line.slice(line.indexOf(":") + 1).trim();
      headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
    }
    const found = bodyOf(headers, end + 4);
    if (found === undefined || this.#text.length < found.end) return undefined;
    this.#text = this.#text.slice(found.end);
    return { status, headers, body: found.body };
  }
}

function sized(text: string, at: number, headers: Readonly<Record<string, string>>) {
  const end = at + Number(headers["content-length"] ?? 0);
  return { body: text.slice(at, end), end };
}

/** The chunked body that begins at `at`, and where it ends; undefined while incomplete. */
function chunked(text: string, at: number): { readonly body: string; readonly end: number } | undefined {
  for (let body = ""; ;) {
    const line = text.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const length = Number.parseInt(text.slice(at, line), 16);
    const next = line + 2 + length + 2;
    if (text.length < next) return undefined;
    body += text.slice(line + 2, line + 2 + length);
    if (length === 0) return { body, end: next };
    at = next;
  }
}
