/**
 * Sockets that read into memory which is used again. Node.js takes memory anew for each read otherwise: of a large answer every page is
 * a page that the system has to clear, and the garbage collector's work takes as long as the transfer.
 */
import type { OnReadOpts, Socket } from "node:net";
import type { buildConnector } from "undici";

/** As `build` connects, for plain TCP. Whoever reads from the sockets is through with what it read when it returns. */
export function connectReusing(
  build: typeof buildConnector,
  options: buildConnector.BuildOptions,
): buildConnector.connector {
  return (target, callback) => {
    const memory = new ReadMemory();
    build({ ...options, onread: memory.onread })(target, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      memory.socket = socket;
      callback(null, socket);
    });
  };
}

class ReadMemory {
  socket: Socket | undefined;
  /** Passed on to the socket's reader, who may not have read it yet. */
  #passed: Uint8Array[] = [];
  #free: Uint8Array[] = [];

  /** https://nodejs.org/api/net.html#socketconnectoptions-connectlistener */
  readonly onread: OnReadOpts = {
    buffer: () => this.#free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES),
    callback: (bytes, memory) => {
      const { socket } = this;
      if (socket === undefined) return false;
      // What waits in the socket lies in any of those.
      if (socket.readableLength === 0) this.#free = this.#passed.splice(0);
      if (this.#passed.length < MAX_PASSED) this.#passed.push(memory);
      return socket.push(memory.subarray(0, bytes));
    },
  };
}

const READ_BYTES = 128 * 1024;
/** More of them are left to the garbage collector. */
const MAX_PASSED = 2;
