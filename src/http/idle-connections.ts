/**
 * Connections with no request under way. Each takes memory, and anyone may open thousands: beyond a bound, the longest idle
 * are closed.
 */
import type { Socket } from "node:net";
import { KEPT_IDLE_CONNECTIONS } from "../base/limits.ts";

export class IdleConnections {
  readonly #most: number;
  /** Longest idle first, with the bytes received when last checked. */
  readonly #line = new Map<Socket, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** The connection has no request under way. */
  add(socket: Socket): void {
    if (socket.destroyed) return;
    this.#push(socket);
    if (this.#line.size > this.#most) this.#closeOne();
  }

  /** A request arrived, or the connection closed. */
  delete(socket: Socket): void {
    this.#line.delete(socket);
  }

  /**
   * If bytes arrived since the last check, the connection is in the middle of a request's headers: it moves to the end of
   * the line once more. The number of such moves is bounded, since clients may send a byte now and then.
   */
  #closeOne(): void {
    let kept = 0;
    for (const [socket, seen] of this.#line) {
      if (socket.bytesRead === seen || kept++ === KEPT_IDLE_CONNECTIONS) {
        this.#line.delete(socket);
        socket.destroySoon();
        return;
      }
      this.#push(socket);
    }
  }

  #push(socket: Socket): void {
    this.#line.delete(socket);
    this.#line.set(socket, socket.bytesRead);
  }
}
