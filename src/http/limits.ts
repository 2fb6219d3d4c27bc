/** The bounds that all HTTP servers share, by name, with their units. */

/** Fields of a request's head; MAX_HEADER_BYTES bounds their bytes. */
export const MAX_HEADER_FIELDS = 128;
/** A request that waits for its client is ended if less than the minimum moved in this time: half a KiB/s. */
export const STALLED_MS = 60_000;
export const STALLED_BYTES = 30 * 1024;
