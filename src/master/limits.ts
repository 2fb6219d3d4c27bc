/** Every bound of a master that is nobody else's, by name, with its unit. */

const KiB = 1024;
const MiB = 1024 * KiB;

// Roots (docs/reference/protocol.md)
/** Missing blocks that the refusal of a swap names. */
export const MAX_MISSING_TOLD = 1_000;
/** Blocks below one another that a root may reach. Trees, lists and what is kept of history stay below 100. */
export const MAX_WALK_DEPTH = 1_024;
/** Links of one block that a swap's check looks up at once. */
export const WALK_LINKS = 256;
/** Nodes that are remembered as complete in one go. */
export const WALK_MARKS = 1_024;
/** A check gives up looking for more when so many nodes lie above what is missing. */
export const WALK_INCOMPLETE_NODES = 10_000;
/** Bytes of blocks that one check keeps in memory, besides the block that it looks at; and all checks together, with those. */
export const WALK_HELD_BYTES = 8 * MiB;
export const WALKS_BYTES = 24 * MiB;
/** Swaps that are checked at once: of all owners, and of one. Swaps of one bucket are checked one after another. */
export const CHECKS_AT_ONCE = 32;
export const OWNER_CHECKS_AT_ONCE = 4;
/** For how long a check keeps others waiting. */
export const WALK_SLICE_MS = 5;
/** Buckets that one answer lists. */
export const MAX_BUCKETS_LISTED = 1_000;
/** Watches of one owner at a time. */
export const MAX_WATCHES = 64;
/** A watch without news sends a comment so often, so that both ends and what lies between know that it lives. */
export const WATCH_COMMENT_MS = 15_000;

// The store (master/store)
/** Blocks that one flush makes durable, unless a single call brings more. */
export const BATCH_BYTES = 64 * MiB;
export const BATCH_BLOCKS = 4_096;
/** Owners whose index and packs are open at once: some six files each. */
export const MAX_OPEN_OWNERS = 64;
/** Look-ups and updates of an index between which other work gets its turn: some milliseconds. */
export const INDEX_STEP = 1_000;
/** Blocks that are kept in memory while an index cannot be written; then nothing more is stored. */
export const MAX_UNINDEXED = 250_000;
/** Nodes of an owner that stay in memory when they are stored, and how large they may be: some flushes of a writer, 1 MiB at most. */
export const RECENT_NODES = 64;
export const RECENT_NODE_BYTES = 16 * KiB;
/** Ranged reads of packs that one call has under way. */
export const PACK_READS = 4;
/** Gaps in a pack up to this are read along: another read of a disk costs as much. */
export const READ_GAP_BYTES = 4 * KiB;

// HTTP (docs/reference/protocol.md, Limits)
/** Connections at a time: beyond, new ones are closed. */
export const MAX_CONNECTIONS = 20_000;
/** Connections on which no request is under way: beyond, those that have been idle longest are closed. 11 KiB each, 43 with TLS. */
export const MAX_IDLE_CONNECTIONS = 2_048;
export const MAX_IDLE_TLS_CONNECTIONS = 1_024;
/** A body of which less than this came while we waited for it for BODY_PATIENCE_MS is cut: 1 KiB/s. */
export const MIN_BODY_BYTES_A_WINDOW = 30 * KiB;
/** For so long an unwanted body is read and dropped (MAX_DISCARDED_BYTES). */
export const DISCARD_MS = 10_000;
/** Memory of all blocks that come in, and one owner's share: two uploads that read a batch while the one before is stored. */
export const BODIES_BYTES = 24 * MiB;
export const OWNER_BODIES_BYTES = 16 * MiB;
/** Bodies of JSON that come in, and one owner's share. */
export const TEXTS_BYTES = 16 * MiB;
export const OWNER_TEXTS_BYTES = 4 * MiB;
/** What is made of them until the call is answered, and one owner's share; JSON_GROWTH times as much as they have (measured). */
export const PARSES_BYTES = 24 * MiB;
export const OWNER_PARSES_BYTES = 12 * MiB;
export const JSON_GROWTH = 12;
/** Garbage is collected when so much of uploads came, and when calls with JSON have left so much. */
export const YOUNG_GARBAGE_BYTES = 16 * MiB;
export const GARBAGE_BYTES = 24 * MiB;
/** What of a body is read before memory is set aside for it: connections hold that much anyway. */
export const FREE_BODY_BYTES = 16 * KiB;
/** Blocks of one CAR that are stored with one flush. */
export const CAR_BATCH_BYTES = 4 * MiB;
/** Blocks that one answer reads ahead of its reader, with READ_GAP_BYTES for each: 1 MiB of blocks of 64 KiB or more. */
export const ANSWER_BATCH_BYTES = 1 * MiB + 16 * READ_GAP_BYTES;
/** What of an answer is written at once: its reader has BODY_PATIENCE_MS for that. */
export const ANSWER_WRITE_BYTES = 256 * KiB;
/** Memory of all blocks that go out, and one owner's share: so many batches. */
export const ANSWERS_BYTES = 10 * ANSWER_BATCH_BYTES;
export const OWNER_ANSWERS_BYTES = 6 * ANSWER_BATCH_BYTES;
/** Blocks that are stored at once by `/v0/block`. */
export const INGEST_CONCURRENCY = 32;
/** What walks below a block remember, in CIDs: so many each without asking, in such steps beyond, of which there are so many for all … */
export const WALK_FREE_CIDS = 10_000;
export const WALK_STEP_CIDS = 10_000;
export const WALK_STEPS = 80;
/** … and for one owner: one walk as large as they may be. */
export const OWNER_WALK_STEPS = 40;
/** How long a quota API's answer counts for a bearer, how long its silence counts, and how long it is waited for. */
export const QUOTA_CACHE_MS = 30_000;
export const QUOTA_RETRY_MS = 1_000;
export const QUOTA_PATIENCE_MS = 5_000;
/** Bearers whose signatures need not be verified again. */
export const KNOWN_BEARERS = 8_192;
/** Calls without a bearer that counts: so many at once from one address, then so many a second; and for how long one waits at most. */
export const STRANGER_BURST = 200;
export const STRANGER_CALLS_PER_S = 200;
export const STRANGER_WAIT_MS = 2_000;
/** Addresses (of IPv6, networks) whose pace is remembered. */
export const PACED_ADDRESSES = 8_192;
/** After a signature was verified others have the thread for so many times as long. */
export const DOUBTS_REST = 4;
/** For how long an address goes last that sent a signature which did not count. */
export const SUSPICION_MS = 60_000;
/** What is under way when the master is told to stop may take so long. */
export const STOP_MS = 30_000;
