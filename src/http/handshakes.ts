/**
 * Connections before their TLS handshake. node:tls then reports a new socket on top of the first one without saying which:
 * the peer's address identifies it.
 */
import type { Socket } from "node:net";

export class Handshakes {
  readonly #byPeer = new Map<string, Socket>();

  add(socket: Socket): void {
    const peer = peerOf(socket);
    this.#byPeer.set(peer, socket);
    socket.once("close", () => {
      if (this.#byPeer.get(peer) === socket) this.#byPeer.delete(peer);
    });
  }

  /** The connection under a TLS socket; undefined if it has ended. */
  below(secured: Socket): Socket | undefined {
    return this.#byPeer.get(peerOf(secured));
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
