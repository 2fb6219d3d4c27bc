/** Every bound of the WebDAV door, by name, with its unit. */
import { MAX_BLOCK_MADE } from "../base/limits.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

export const MAX_DAV_XML_BYTES = 1 * MiB;
export const MAX_XML_DEPTH = 64;
/** Elements, attributes and pieces of text of one body. */
export const MAX_XML_NODES = 20_000;
/** Ranges of one GET; more ask for the whole file. */
export const MAX_RANGES = 64;
/** Bytes of a file that are read and sent at once. */
export const DAV_READ_BYTES = 256 * KiB;
/** The same of a few bodies: a chunk of any file fits, and what lies in the block cache needs no other memory. */
export const DAV_LONG_READ_BYTES = MAX_BLOCK_MADE;
export const DAV_LONG_BODIES = 8;
/** Files up to so many bytes are read to name them for an entity tag; larger ones that came another way wait until they are published. */
export const NAMED_AT_ONCE_BYTES = 16 * KiB;
/** Bytes of bodies after which what became garbage is collected. */
export const YOUNG_GARBAGE_BYTES = 2 * MiB;
/** Checksums of contents that are remembered, some 200 bytes each. */
export const KNOWN_CHECKSUMS = 65_536;
/** Conditions in one If header. */
export const MAX_IF_CONDITIONS = 256;
export const MAX_LOCKS_A_RESOURCE = 64;
export const MAX_DAV_LOCKS = 4_096;
/** Entries of a folder that one piece of a listing holds. */
export const DAV_LISTING_BATCH = 256;
/** Properties that one request asks for by name, for each of perhaps many files. */
export const MAX_PROPERTIES_ASKED = 256;
/** How long a long answer is made before others of the thread have their turn. */
export const DAV_SLICE_MS = 4;
/** A lock that nobody renews ends after so long, whatever its owner asked for. */
export const MAX_LOCK_S = 3_600;
/** Bytes of what a lock says about its owner. */
export const MAX_LOCK_OWNER_BYTES = 1 * KiB;
/** Bytes that a copy reads and writes in one step. */
export const COPY_STEP_BYTES = 1 * MiB;

// The server around it
/** Connections at a time, and of them those on which no request is under way: beyond, the longest idle are closed. */
export const MAX_CONNECTIONS = 1_024;
export const MAX_IDLE_CONNECTIONS = 256;
/** Requests that are worked on or answered at once; those whose body is still to come hold next to nothing, and do not count. */
export const MAX_CALLS = 128;
/** What is under way when the door is closed may take so long. */
export const STOP_MS = 10_000;
