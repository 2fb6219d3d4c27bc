/** The bounds that all HTTP servers share, by name, with their units. */

/** Fields of a request's head; MAX_HEADER_BYTES bounds their bytes. */
export const MAX_HEADER_FIELDS = 128;
/** A request that waits for its client is ended if less than the minimum moved in this time: half a KiB/s. */
export const STALLED_MS = 60_000;
export const STALLED_BYTES = 30 * 1024;
/** Requests that strangers sent ahead of earlier answers, and one network's: 20 KiB each. Beyond, the connection is cut. */
export const STRANGER_WAITING_CALLS = 1_024;
export const NETWORK_WAITING_CALLS = 256;
