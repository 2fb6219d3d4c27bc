/**
 * Connections that are about to agree on TLS. node:tls then speaks of another socket, which lies on the first one, and does not say on
 * which: it is known by the other end's address.
 */
import type { Socket } from "node:net";

export class Handshakes {
  readonly #byPeer = new Map<string, Socket>();

  /** A connection came. */
  add(socket: Socket): void {
    const peer = peerOf(socket);
    this.#byPeer.set(peer, socket);
    socket.once("close", () => {
      if (this.#byPeer.get(peer) === socket) this.#byPeer.delete(peer);
    });
  }

  /** The connection that a TLS socket lies on; undefined if it has ended. */
  below(secured: Socket): Socket | undefined {
    return this.#byPeer.get(peerOf(secured));
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
