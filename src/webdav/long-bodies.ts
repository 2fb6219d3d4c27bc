/** How much of a body is read and sent at once: more of the first few, less of many at once, whose readers may be slow. */
import type { ServerResponse } from "node:http";
import { DAV_LONG_BODIES, DAV_LONG_READ_BYTES, DAV_READ_BYTES } from "./limits.ts";

export class LongBodies {
  #under = 0;

  /** Bytes of each piece of a body of `length` bytes that goes with this answer. */
  begin(response: ServerResponse, length: number): number {
    if (length <= DAV_READ_BYTES || this.#under === DAV_LONG_BODIES || response.destroyed) {
      return Math.min(length, DAV_READ_BYTES);
    }
    this.#under++;
    // Its pieces wait in the socket until then.
    response.once("close", () => this.#under--);
    return Math.min(length, DAV_LONG_READ_BYTES);
  }
}
