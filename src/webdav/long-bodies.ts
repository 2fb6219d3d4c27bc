/** How much of a body is read and sent at once: more for the first few, less for many, whose readers may be slow. */
import type { ServerResponse } from "node:http";
import { DAV_LONG_BODIES, DAV_LONG_READ_BYTES, DAV_READ_BYTES } from "./limits.ts";

export class LongBodies {
  #under = 0;

  /** The piece size for a body of `length` bytes in this answer. */
  begin(response: ServerResponse, length: number): number {
    if (length <= DAV_READ_BYTES || this.#under === DAV_LONG_BODIES || response.destroyed) {
      return Math.min(length, DAV_READ_BYTES);
    }
    this.#under++;
    // Its pieces stay in the socket until then.
    response.once("close", () => this.#under--);
    return Math.min(length, DAV_LONG_READ_BYTES);
  }
}
