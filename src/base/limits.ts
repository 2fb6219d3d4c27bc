/** Every bound of the program, by name, with its unit and where it comes from. */

const KiB = 1024;
const MiB = 1024 * KiB;

// Blocks (format.md, Blocks)
/** Blocks that we make. */
export const MAX_BLOCK_MADE = 1 * MiB;
/** Blocks that we accept. */
export const MAX_BLOCK_ACCEPTED = 4 * MiB;
/** Nesting of lists and maps in a dag-cbor block; our own formats need five. */
export const MAX_CBOR_DEPTH = 16;

// Tree nodes (format.md, Tree nodes)
export const NODE_TARGET_BYTES = 16 * KiB;
/** L of the boundary rule h·L⁴ < 2³²·(e⁴ − s⁴): NODE_TARGET_BYTES / Γ(1 + 1/4), so that the mean node is the target. */
export const NODE_SCALE = 18_076;
export const MAX_NODE_LEVEL = 16;
/** A node may exceed this only with one entry. */
export const MAX_NODE_BYTES = 128 * KiB;

// Records and names (format.md, Records)
export const MAX_NAME_BYTES = 255;
export const MAX_VALUE_BYTES = 4 * KiB;
export const MAX_INLINE_XATTR_BYTES = 512;
export const MAX_XATTR_BYTES = 64 * KiB;
export const MAX_SYMLINK_BYTES = 4095;
/** Longer targets go to a linked block. */
export const MAX_INLINE_TARGET_BYTES = 512;

// Content (format.md, Content)
export const DEFAULT_INLINE_BYTES = 512;
/** Runs of zeros of at least this length are holes. */
export const MIN_HOLE_BYTES = 64 * KiB;

// Packs (format.md, A bucket in an object store)
export const PACK_TARGET_BYTES = 16 * MiB;
export const PACK_MAX_BYTES = 32 * MiB;
/** A commit object carries everything new up to this. */
export const COMMIT_INLINE_BYTES = 8 * MiB;
export const MAX_LOOSE_PACKS = 64;
export const RUN_PAGE_BYTES = 64 * KiB;
/** Runs are tiered by this factor, at most MAX_RUNS of them. */
export const RUN_TIER = 16;
export const MAX_RUNS = 4;

// Publishing (design.md §3)
export const PUBLISH_ATTEMPTS = 16;
export const BACKOFF_FIRST_MS = 20;
export const BACKOFF_MAX_MS = 2_000;
/** A write that nobody fsyncs is flushed after this long without another write … */
export const FLUSH_IDLE_MS = 1_000;
/** … and this long after the first unflushed write at the latest. */
export const FLUSH_LATEST_MS = 5_000;
/** At most this many flushes a second that fsync or close start. */
export const FLUSHES_PER_SECOND = 4;
/** How often the root of a `file://` bucket is polled. */
export const FILE_POLL_MS = 250;

// Reading (design.md §4)
/** Gaps up to this are read along in one ranged read. */
export const COALESCE_GAP_BYTES = 128 * KiB;
export const MAX_RANGED_READ_BYTES = 8 * MiB;
export const READ_AHEAD_FIRST_BYTES = 256 * KiB;
export const READ_AHEAD_MAX_BYTES = 32 * MiB;
export const READ_TIMEOUT_MS = 30_000;
