/** Every bound of the WebDAV door, by name, with its unit. */
import { MAX_BLOCK_MADE } from "../base/limits.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

export const MAX_DAV_XML_BYTES = 1 * MiB;
export const MAX_XML_DEPTH = 64;
/** Elements, attributes and pieces of text of one body. */
export const MAX_XML_NODES = 20_000;
/** Ranges of one GET; a request for more gets the whole file. */
export const MAX_RANGES = 64;
/** Bytes of a file that are read and sent at once. */
export const DAV_READ_BYTES = 256 * KiB;
/** As DAV_READ_BYTES, for a few bodies: a chunk of any file fits, and blocks in the block cache need no other memory. */
export const DAV_LONG_READ_BYTES = MAX_BLOCK_MADE;
export const DAV_LONG_BODIES = 8;
/** Files up to this size are read to make an entity tag. Larger ones from elsewhere wait until they are published. */
export const NAMED_AT_ONCE_BYTES = 16 * KiB;
/** Memory for the names of large bodies that arrive: beyond it, a body gets a temporary tag. 67 of the largest fit. */
export const MAX_NAMING_BYTES = 160 * MiB;
/** Garbage is collected after this many bytes of bodies. */
export const GARBAGE_BYTES = { young: 2 * MiB, all: Infinity };
/** Remembered checksums of contents, some 200 bytes each. */
export const KNOWN_CHECKSUMS = 65_536;
/** Conditions in one If header. */
export const MAX_IF_CONDITIONS = 256;
export const MAX_LOCKS_A_RESOURCE = 64;
export const MAX_DAV_LOCKS = 4_096;
/** Folder entries in one piece of a listing. */
export const DAV_LISTING_BATCH = 256;
/** Properties that one request may name, possibly for many files. */
export const MAX_PROPERTIES_ASKED = 256;
/** Characters of their names and namespaces: an answer may repeat them for each file. */
export const MAX_PROPERTY_NAME_CHARS = 256 * KiB;
/** How long a long answer is worked on before others on the thread get their turn. */
export const DAV_SLICE_MS = 4;
/** The longest time of a lock without renewal, whatever its owner asked for. */
export const MAX_LOCK_S = 3_600;
/** Bytes of a lock's owner information. */
export const MAX_LOCK_OWNER_BYTES = 1 * KiB;
/** Bytes that a copy reads and writes in one step. */
export const COPY_STEP_BYTES = 1 * MiB;
/** Files of a copy that wait for a sync together. */
export const COPY_SYNCS = 256;
/** How often a copy looks a name up again that led to something else meanwhile. */
export const COPY_RETRIES = 16;

// The server around it
/** The most connections at a time, and the most idle ones among them: beyond, the longest idle are closed. */
export const MAX_CONNECTIONS = 1_024;
export const MAX_IDLE_CONNECTIONS = 256;
/** Requests processed or answered at once. Those still waiting for their body hold almost nothing, and do not count. */
export const MAX_CALLS = 128;
/** How long requests under way may take once the door is closed. */
export const STOP_MS = 10_000;
