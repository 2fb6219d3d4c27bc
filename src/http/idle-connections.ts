/**
 * The connections on which no request is under way. Each takes memory, and anybody may open thousands: beyond a number, those that have
 * been idle for the longest time are closed.
 */
import type { Socket } from "node:net";
import { KEPT_IDLE_CONNECTIONS } from "../base/limits.ts";

export class IdleConnections {
  readonly #most: number;
  /** Idle the longest first, with the bytes that had come when that was last looked at. */
  readonly #line = new Map<Socket, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Nothing is under way on it any more, or not yet. */
  add(socket: Socket): void {
    if (socket.destroyed) return;
    this.#push(socket);
    if (this.#line.size > this.#most) this.#closeOne();
  }

  /** A request came, or the connection was closed. */
  delete(socket: Socket): void {
    this.#line.delete(socket);
  }

  /**
   * A connection on which bytes came since it was last looked at is in the middle of a request's headers: it goes to the line's end
   * once more. So many at a time, since who sends a byte now and then must not make this long.
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
