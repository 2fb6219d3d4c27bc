/** Every bound of the HTTP servers that is the same for all of them, by name, with its unit. */

/** Fields of a request's head; their bytes are bounded besides (MAX_HEADER_BYTES). */
export const MAX_HEADER_FIELDS = 128;
/** A request that waits for its client is ended when less than this moved in such a time: half a KiB/s. */
export const STALLED_MS = 60_000;
export const STALLED_BYTES = 30 * 1024;
