/** A client that sends exactly the bytes it is told to: for requests that no HTTP library would make. */
import { connect, type Socket } from "node:net";
import { once } from "node:events";

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

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
    // A server that closes early may reset what is still on its way.
    socket.on("error", () => {});
  }

  static async open(origin: string): Promise<RawClient> {
    const { hostname, port } = new URL(origin);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    await once(socket, "connect");
    return new RawClient(socket);
  }

  send(bytes: string | Uint8Array): this {
    this.socket.write(bytes);
    return this;
  }

  /** The next answer. Rejects when the connection ends before. */
  async answer(): Promise<RawAnswer> {
    for (;;) {
      const parsed = this.#parse();
      if (parsed !== undefined) return parsed;
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#text)}`);
      await this.#changed();
    }
  }

  /** All that came after the last answer, once the server has closed. */
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

  #parse(): RawAnswer | undefined {
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [first = "", ...lines] = this.#text.slice(0, end).split("\r\n");
    const status = Number(first.split(" ")[1]);
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    const length = Number(headers["content-length"] ?? 0);
    if (this.#text.length < end + 4 + length) return undefined;
    const body = this.#text.slice(end + 4, end + 4 + length);
    this.#text = this.#text.slice(end + 4 + length);
    return { status, headers, body };
  }
}
