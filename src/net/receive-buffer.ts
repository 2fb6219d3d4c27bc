/**
 * Sockets that receive into one buffer, which all of a thread's sockets share. Node.js would allocate memory for each read, and
 * the garbage collector would have to follow it: half of the CPU time of a fast download.
 *
 * The reader must use what it reads at once, as undici's parser does. What it does not take, the socket keeps as a copy.
 */
import { type OnReadOpts, Socket } from "node:net";
import type { buildConnector } from "undici";

const BUFFER_BYTES = 256 * 1024;

/**
 * Smaller reads are copied, which is cheap. undici keeps parts of a head until it has all of it: those are copies, since a read of
 * this size has the end of the head.
 */
export const LEAST_SHARED = 32 * 1024;

/** What has just been read, until the socket's reader takes it. */
let fresh: { readonly socket: Socket; readonly part: Buffer } | undefined;

/** The option with which sockets must be connected (net.Socket). */
export const ON_READ: OnReadOpts = { buffer: Buffer.allocUnsafeSlow(BUFFER_BYTES), callback: received };

/** `connect`: made with `ON_READ`. */
export function sharingBuffer(connect: buildConnector.connector): buildConnector.connector {
  return (options, done) =>
    connect(options, (...outcome) => {
      // Absent after an error.
      if (outcome[1] instanceof Socket) makeReadable(outcome[1]);
      done(...outcome);
    });
}

function makeReadable(socket: Socket): void {
  socket.read = (size?: number) => {
    if (fresh?.socket !== socket || size === 0) return Socket.prototype.read.call(socket, size) as Buffer | null;
    const { part } = fresh;
    fresh = undefined;
    return part;
  };
  socket.unshift = (part: Uint8Array) => Socket.prototype.unshift.call(socket, Buffer.from(part));
}

/** Returns false, as `push` does, if the socket should stop reading until its reader asks for more. */
function received(this: unknown, bytes: number, buffer: Uint8Array): boolean {
  // Node.js calls it as a method.
  const socket = this as Socket;
  const part = Buffer.from(buffer.buffer, buffer.byteOffset, bytes);
  if (bytes >= LEAST_SHARED && socket.readableLength === 0) {
    fresh = { socket, part };
    socket.emit("readable");
    if (fresh === undefined) return true;
    fresh = undefined;
  }
  return socket.push(Buffer.from(part));
}
