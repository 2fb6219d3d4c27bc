/** A kernel for the addon that may send anything: raw FUSE requests over a socket to a process serving its other end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Duplex } from "node:stream";

const HEADER_BYTES = 40;
const REPLY_HEADER_BYTES = 16;

export interface FakeReply {
  /** Positive errno, or 0. */
  readonly error: number;
  readonly body: Buffer;
}

/** A request as the addon shows it to JavaScript. */
export interface ShownRequest {
  readonly cells: readonly number[];
  readonly names: readonly string[];
}

export class FakeKernel implements AsyncDisposable {
  readonly exited: Promise<number | null>;
  /** Requests that reached JavaScript. */
  readonly shown: ShownRequest[] = [];
  /** The errno that ended serving. */
  readonly ended: Promise<number>;
  readonly #process: ChildProcess;
  readonly #device: Duplex;
  #received = Buffer.alloc(0);
  #lastUnique = 0n;

  /**
   * `cells`: JavaScript's answer to every request. Values that JSON lacks are given as text. `fate`: JavaScript is stopped
   * after it filled in its first answer, before it sends it.
   */
  constructor(
    cells: readonly (readonly [cell: number, value: number | string])[] = [],
    fate?: "fails" | "leaves to the next",
  ) {
    const script = join(import.meta.dirname, "fake-kernel.mjs");
    const args = [script, JSON.stringify(cells), ...(fate === undefined ? [] : [fate])];
    this.#process = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", "pipe", "ipc"] });
    this.#device = this.#process.stdio[3] as Duplex;
    this.#device.on("error", () => {});
    this.exited = once(this.#process, "exit").then(([code]) => code as number | null);
    this.ended = new Promise((resolve) => {
      this.#process.on("message", (message: { end?: number; requests?: number[][]; names?: string[] }) => {
        if (message.end !== undefined) resolve(message.end);
        for (const cells of message.requests ?? []) this.shown.push({ cells, names: message.names ?? [] });
      });
    });
  }

  /** Sends a request and reads its reply. */
  async ask(opcode: number, body: Uint8Array): Promise<FakeReply> {
    const unique = this.send(opcode, body);
    for (;;) {
      const reply = await this.#reply();
      if (reply.unique === unique) return reply;
    }
  }

  /** Sends a request without awaiting a reply; returns its number. Wait before the next: sockets merge messages. */
  send(opcode: number, body: Uint8Array): bigint {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(HEADER_BYTES + body.length, 0);
    header.writeUInt32LE(opcode, 4);
    header.writeBigUInt64LE(++this.#lastUnique, 8);
    header.writeBigUInt64LE(1n, 16);
    this.sendRaw(Buffer.concat([header, body]));
    return this.#lastUnique;
  }

  sendRaw(bytes: Uint8Array): void {
    this.#device.write(bytes);
  }

  /** Closes its end of the socket. */
  hangUp(): void {
    this.#device.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#device.destroy();
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  async #reply(): Promise<FakeReply & { readonly unique: bigint }> {
    const header = await this.#bytes(REPLY_HEADER_BYTES);
    const body = await this.#bytes(header.readUInt32LE(0) - REPLY_HEADER_BYTES);
    return { error: Math.abs(header.readInt32LE(4)), unique: header.readBigUInt64LE(8), body };
  }

  async #bytes(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      const ended = this.exited.then((code) => Promise.reject(new Error(`the serving process ended with ${code}`)));
      const [chunk] = (await Promise.race([once(this.#device, "data"), ended])) as [Buffer];
      this.#received = Buffer.concat([this.#received, chunk]);
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }
}
