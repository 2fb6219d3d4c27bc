/** Every bound that only masters use, by name, with its unit. */

const KiB = 1024;
const MiB = 1024 * KiB;

// Roots (docs/reference/protocol.md)
/** Missing blocks listed when a swap is refused. */
export const MAX_MISSING_TOLD = 1_000;
/** The greatest depth of blocks below a root. Trees, lists and retained history stay below 100. */
export const MAX_WALK_DEPTH = 1_024;
/** Links of one block that a swap check looks up at once. */
export const WALK_LINKS = 256;
/** Nodes marked complete in one go. */
export const WALK_MARKS = 1_024;
/** A check stops looking for more missing blocks once this many nodes lie above those found. */
export const WALK_INCOMPLETE_NODES = 10_000;
/** Block bytes that one check keeps in memory, besides the block it looks at; and all checks together, including those. */
export const WALK_HELD_BYTES = 8 * MiB;
export const WALKS_BYTES = 24 * MiB;
/** Concurrent swap checks: of all owners, and of one owner. Swaps of one bucket are checked one at a time. */
export const CHECKS_AT_ONCE = 32;
export const OWNER_CHECKS_AT_ONCE = 4;
/** How long a check runs before it yields. */
export const WALK_SLICE_MS = 5;
/** Buckets listed in one answer. */
export const MAX_BUCKETS_LISTED = 1_000;
/** Watches of one owner at a time. */
export const MAX_WATCHES = 64;
/** A quiet watch sends a comment this often, so that both ends and proxies know it is alive. */
export const WATCH_COMMENT_MS = 15_000;

// The store (master/store)
/** Block bytes per flush, unless a single call brings more. */
export const BATCH_BYTES = 64 * MiB;
export const BATCH_BLOCKS = 4_096;
/** Owners whose index and packs are open at once, with some six files each. */
export const MAX_OPEN_OWNERS = 64;
/** Index look-ups and updates before other work gets a turn: some milliseconds. */
export const INDEX_STEP = 1_000;
/** What a quota counts for each block besides its bytes: its rows in a pack, in the journal, and in the index. */
export const BLOCK_OVERHEAD_BYTES = 128;
/** Blocks kept in memory while an index cannot be written; beyond that, stores are refused. */
export const MAX_UNINDEXED = 250_000;
/** Recent nodes of all owners that stay in memory, together and each: a flush of a writer needs some 100 KiB. */
export const RECENT_BYTES = 32 * MiB;
export const RECENT_NODE_BYTES = 16 * KiB;
/** Concurrent ranged reads of packs per call. */
export const PACK_READS = 4;
/** Gaps in a pack up to this are read along: another disk read costs as much. */
export const READ_GAP_BYTES = 4 * KiB;
/** Packs that one change of the log names: a statement on PostgreSQL has 5 s, and 400,000 took longer. */
export const CHANGED_PACKS = 10_000;

// HTTP (docs/reference/protocol.md, Limits)
/** Open connections. Beyond, a new one takes the place of one without a valid bearer. */
export const MAX_CONNECTIONS = 20_000;
/** Connections without a valid bearer so far. Each takes some 25 KiB with its request, or 60 with TLS. */
export const MAX_STRANGER_CONNECTIONS = 4_096;
/** Idle connections: beyond this, the longest idle are closed. 11 KiB each, 43 with TLS. */
export const MAX_IDLE_CONNECTIONS = 2_048;
export const MAX_IDLE_TLS_CONNECTIONS = 1_024;
/** A body that brings less than this in BODY_PATIENCE_MS of waiting is cut: 1 KiB/s. */
export const MIN_BODY_BYTES_A_WINDOW = 30 * KiB;
/** How long an unwanted body is read and dropped (MAX_DISCARDED_BYTES). */
export const DISCARD_MS = 10_000;
/** Memory of all incoming blocks, and one owner's share: two uploads, each reading a batch while storing another. */
export const BODIES_BYTES = 24 * MiB;
export const OWNER_BODIES_BYTES = 16 * MiB;
/** Incoming JSON bodies, and one owner's share. */
export const TEXTS_BYTES = 16 * MiB;
export const OWNER_TEXTS_BYTES = 4 * MiB;
/** Parsed bodies until the call is answered, and one owner's share; JSON_GROWTH times the body's size (measured). */
export const PARSES_BYTES = 24 * MiB;
export const OWNER_PARSES_BYTES = 12 * MiB;
export const JSON_GROWTH = 12;
/** Garbage is collected after this much upload traffic, and after JSON calls have left this much. */
export const GARBAGE_BYTES = { young: 16 * MiB, all: 24 * MiB };
/** How much of a body is read before memory is reserved for it: connections hold that much anyway. */
export const FREE_BODY_BYTES = 16 * KiB;
/** Blocks of a CAR stored in one flush. */
export const CAR_BATCH_BYTES = 4 * MiB;
/** How much an answer reads ahead, with READ_GAP_BYTES per block: 1 MiB of blocks of 64 KiB or more. */
export const ANSWER_BATCH_BYTES = 1 * MiB + 16 * READ_GAP_BYTES;
/** Bytes of an answer written at once, which its reader must take within BODY_PATIENCE_MS. */
export const ANSWER_WRITE_BYTES = 256 * KiB;
/** A whole answer up to this size is ended without waiting for its reader. */
export const SMALL_ANSWER_BYTES = 16 * KiB;
/** Memory of all outgoing blocks, and one owner's share, as a number of batches. */
export const ANSWERS_BYTES = 10 * ANSWER_BATCH_BYTES;
export const OWNER_ANSWERS_BYTES = 6 * ANSWER_BATCH_BYTES;
/** Concurrent block stores by `/v0/block`. */
export const INGEST_CONCURRENCY = 32;
/** CIDs that walks below blocks remember: each walk so many freely, then in steps; all walks share so many steps … */
export const WALK_FREE_CIDS = 10_000;
export const WALK_STEP_CIDS = 10_000;
export const WALK_STEPS = 80;
/** … and one owner may have so many: enough for one walk of the maximum size. */
export const OWNER_WALK_STEPS = 40;
/** Concurrent searches of all owners for a public block, and one network's share. */
export const SEARCHES = 2;
export const NETWORK_SEARCHES = 1;
/** How long one request searches. Opening one owner's index takes 1 to 5 ms. */
export const SEARCH_MS = 500;
/** How long a search counts, and of how many blocks: some 200 bytes each. */
export const MISSING_MS = 60_000;
export const SEARCHED_BLOCKS = 8_192;
/** Owners that are asked before a search. */
export const USEFUL_OWNERS = 8;
/** Nodes and commits may exceed a quota by this fraction of it, and by at least this many bytes. */
export const QUOTA_RESERVE_PART = 100;
export const QUOTA_RESERVE_BYTES = 4 * 1024 * 1024;
/** How long a quota API's answer counts for a bearer, how long a failure counts, and how long to wait for it. */
export const QUOTA_CACHE_MS = 30_000;
export const QUOTA_RETRY_MS = 1_000;
export const QUOTA_PATIENCE_MS = 5_000;
export const KNOWN_BEARERS = 8_192;
/** Calls without a valid bearer: a burst per address, then so many a second; and the longest wait. */
export const STRANGER_BURST = 200;
export const STRANGER_CALLS_PER_S = 200;
export const STRANGER_WAIT_MS = 2_000;
/** Addresses (for IPv6, networks) whose pace is remembered. */
export const PACED_ADDRESSES = 8_192;
/** Signatures that wait to be checked, and one network's: two seconds' worth. Beyond, callers come back after BUSY_RETRY_S. */
export const WAITING_SIGNATURES = 1_024;
export const NETWORK_WAITING_SIGNATURES = 256;
export const BUSY_RETRY_S = 2;
/** After a signature check, others get the thread for this many times as long. */
export const DOUBTS_REST = 4;
/** How long an address stays last in line after an invalid signature. */
export const SUSPICION_MS = 60_000;
/** How long ongoing work may take after the master is told to stop. */
export const STOP_MS = 30_000;
