/** Every bound of the program, by name, with unit and source; masters and the WebDAV door keep their own. */

const KiB = 1024;
const MiB = 1024 * KiB;

// Blocks (docs/reference/formats.md, Blocks)
/** The largest block that we make. */
export const MAX_BLOCK_MADE = 1 * MiB;
/** The largest block that we accept. */
export const MAX_BLOCK_ACCEPTED = 4 * MiB;
/** Nesting of lists and maps in a dag-cbor block; our own formats need five. */
export const MAX_CBOR_DEPTH = 16;

// Tree nodes (docs/reference/formats.md, Tree nodes)
export const NODE_TARGET_BYTES = 16 * KiB;
/** The range that a genesis may choose from: four targets and one entry stay below MAX_NODE_BYTES. */
export const MIN_NODE_TARGET_BYTES = 256;
export const MAX_NODE_TARGET_BYTES = 24 * KiB;
/** Encoded bytes of one entry: key, value and links. */
export const MAX_ENTRY_BYTES = 16 * KiB;
/** Links of one entry: their count is one byte. */
export const MAX_ENTRY_LINKS = 255;
/** L of the boundary rule h·L⁴ < 2³²·(e⁴ − s⁴): NODE_TARGET_BYTES / Γ(1 + 1/4), so that the mean node is the target. */
export const NODE_SCALE = 18_076;
export const MAX_NODE_LEVEL = 16;
/** Only a node with one entry may exceed this. */
export const MAX_NODE_BYTES = 128 * KiB;

// Records and names (docs/reference/formats.md, Rows)
export const MAX_NAME_BYTES = 255;
export const MAX_VALUE_BYTES = 4 * KiB;
export const MAX_INLINE_XATTR_BYTES = 512;
export const MAX_XATTR_BYTES = 64 * KiB;
export const MAX_SYMLINK_BYTES = 4095;
/** Longer targets go to a linked block. */
export const MAX_INLINE_TARGET_BYTES = 512;

// Commits (docs/reference/formats.md, Commit)
/** Longer heads go to a block of their own. Above the second limit they go to a tree: a commit then writes about one node. */
export const MAX_INLINE_HEADS_BYTES = 1 * KiB;
export const MAX_LISTED_HEADS_BYTES = 32 * KiB;
export const MAX_NOTE_BYTES = 1 * KiB;
export const MAX_MACHINE_BYTES = 255;

// Content (docs/reference/formats.md, Content)
export const DEFAULT_INLINE_BYTES = 512;
/** The most that a genesis may allow: the row, with long attributes and a target, stays below MAX_VALUE_BYTES. */
export const MAX_INLINE_CONTENT_BYTES = 2 * KiB;
/** Runs of zeros of at least this length are holes. */
export const MIN_HOLE_BYTES = 64 * KiB;
/** A chunk list of 2^53 bytes in 64 KiB chunks has fewer levels, 32 entries a node. */
export const MAX_LIST_LEVEL = 8;
export const MAX_LIST_ENTRIES = 512;

// Packs (docs/reference/formats.md, A bucket in an object store)
export const PACK_TARGET_BYTES = 16 * MiB;
export const PACK_MAX_BYTES = 32 * MiB;
/** A commit object carries all new blocks up to this size. */
export const COMMIT_INLINE_BYTES = 8 * MiB;
/** Of a root or a base. Larger objects are not read: anyone with access to the store could fill memory. */
export const MAX_ROOT_BYTES = 256;
export const MAX_GENESIS_BYTES = 4 * KiB;
/** Of a lease, and of any other object that is no pack or run. */
export const MAX_SMALL_OBJECT_BYTES = 4 * MiB;
/** Of any object, and of an answer of an S3 server. */
export const MAX_OBJECT_BYTES = 160 * MiB;
export const MAX_LOOSE_PACKS = 64;
export const RUN_PAGE_BYTES = 64 * KiB;
/** Runs are tiered by this factor, at most MAX_RUNS of them. */
export const RUN_TIER = 16;
export const MAX_RUNS = 4;
/** How much of a commit object's end is read first: most footers and manifests, and all of a small object. */
export const COMMIT_TAIL_BYTES = 64 * KiB;
/** Index pages of runs that a reader keeps in memory. */
export const RUN_CACHE_BYTES = 16 * MiB;
/** Footers of packs that a reader keeps in memory, and those that go into a run at once: 1.6 million blocks. */
export const FOOTER_CACHE_BYTES = 64 * MiB;
/** Footers that a search reads at once, unless a single one is larger. */
export const FOOTERS_READ_BYTES = 16 * MiB;
/** Concurrent requests to a store by one reader or upload. */
export const STORE_CONCURRENCY = 8;
/** After a lost swap, new blocks below this size are sent again; above it, the commit object is listed as a pack. */
export const REUSE_COMMIT_BYTES = 1 * MiB;
/** How long a swap waits for the lock of a `file://` bucket, which is only held for a compare and a rename. */
export const LOCK_WAIT_MS = 15_000;
/** Temporary files older than this were left by a crash. */
export const STALE_TEMP_MS = 24 * 60 * 60 * 1000;

// Publishing
export const PUBLISH_ATTEMPTS = 16;
/** With fewer bytes of contents, a commit is noted while they are sent. */
export const NOTED_BESIDE_BYTES = 64 * KiB;
export const BACKOFF_FIRST_MS = 20;
export const BACKOFF_MAX_MS = 2_000;
/** The ratio of the longest pause to the first. More leaves the bucket idle, less lets writers collide. */
export const BACKOFF_GROWTH = 25;
/** How many noted commits of an epoch are kept: usually there is one, and only those on the newest root can still arrive. */
export const SENT_COMMITS = 16;
/** A command without a mount gives up after this many times PUBLISH_ATTEMPTS. */
export const WRITER_ROUNDS = 4;
/** A stream of unknown length is kept in memory up to this, then in a temporary file. */
export const SPOOL_MEMORY_BYTES = 8 * MiB;
/** Tree nodes and chunks that a publication caches in memory, besides new nodes awaiting upload. */
export const PUBLISH_NODE_CACHE_BYTES = 16 * MiB;
export const PUBLISH_CHUNK_CACHE_BYTES = 16 * MiB;
/** The tree node cache that an agent keeps between two adopted roots, and how many nodes it requests at once. */
export const ADOPT_NODES = { capacityBytes: 4 * MiB, batch: 256 };
/** A write without fsync is flushed after this long without another write … */
export const FLUSH_IDLE_MS = 1_000;
/** … and this long after the first unflushed write at the latest. */
export const FLUSH_LATEST_MS = 5_000;
/** … or this long if only a large file being rewritten waits: a GiB takes that at 18 MB/s. */
export const FLUSH_REWRITTEN_LATEST_MS = 60_000;
/** A changed name or attribute has no close: it is flushed after this long without another change … */
export const FLUSH_CHANGE_IDLE_MS = 200;
/** … and this long after the first at the latest, so others see it within a second; less often in long runs of changes. */
export const FLUSH_CHANGE_LATEST_MS = 600;
/** The most flushes a second that fsync or close may start. */
export const FLUSHES_PER_SECOND = 4;
/** How often the root of a `file://` bucket is polled. */
export const FILE_POLL_MS = 250;
/** Memory for tree nodes during verification, and as much again for chunk lists. */
export const VERIFY_CACHE_BYTES = 32 * MiB;

// Reading
/** Gaps up to this are read along in one ranged read. */
export const COALESCE_GAP_BYTES = 128 * KiB;
export const MAX_RANGED_READ_BYTES = 8 * MiB;
/** Memory for contents that a filesystem has read or will read soon. */
export const CONTENT_BYTES = 24 * MiB;
export const READ_AHEAD_FIRST_BYTES = 256 * KiB;
/** Up to 1.5 times as much waits for its reader: half of that memory. More would be fetched twice, or displace other contents. */
export const READ_AHEAD_MAX_BYTES = CONTENT_BYTES / 3;
/** How many small files of a directory are fetched together: at first, and at most. */
export const SIBLINGS_FIRST = 8;
export const SIBLINGS_MAX = 256;
export const SIBLINGS_MAX_BYTES = 4 * MiB;
/** Attempts to get a block from a store that does not answer; longer waits happen above the block layer. */
export const READ_ATTEMPTS = 5;
export const READ_TIMEOUT_MS = 30_000;

// Limits of a master's client, on itself and on the master (docs/reference/protocol.md)
/** Sockets to one master: block transfers use at most MASTER_TRANSFERS, so that roots and the watch never wait. */
export const MASTER_CONNECTIONS = 10;
export const MASTER_TRANSFERS = 6;
export const MASTER_CONNECT_MS = 10_000;
/** With several masters, the next is also asked once the previous has been silent this long (RFC 8305, section 8). */
export const MASTER_NEXT_MS = 250;
/** With several masters, one that is silent so long is asked for its health, and has so long to answer. */
export const MASTER_DOUBT_MS = 500;
/** With another healthy master to ask, a silent one is left this soon: by calls that may be repeated, and by swaps. */
export const MASTER_MOVE_MS = 4_000;
export const MASTER_MOVE_SWAP_MS = 5_000;
/** Several masters are probed this often; one that was left, after this long, doubled each time. */
export const MASTER_PROBE_MS = 30_000;
export const MASTER_RETURN_MS = 2_000;
export const MASTER_RETURN_MAX_MS = 60_000;
/** How often a master is asked for others. */
export const MASTER_LEARN_MS = 300_000;
/** The most masters of one bucket. */
export const MAX_MASTERS = 16;
/** A call is aborted after this long without progress, or if its answer brings less than this in that time. */
export const MASTER_SILENCE_MS = 30_000;
export const MASTER_LEAST_BYTES = 1 * KiB;
/** A swap may have to wait until much new data is checked. */
export const MASTER_SWAP_TIMEOUT_MS = 120_000;
/** A watch gets a comment every 15 s. */
export const MASTER_WATCH_MS = 40_000;
/** Blocks are sent in batches of this size, besides the batch being filled. */
export const MASTER_PUT_BYTES = 8 * MiB;
export const MASTER_PUT_BLOCKS = 8_192;
/** Batches in flight while the next one fills. */
export const MASTER_PUTS_AT_ONCE = 2;
/** Attempts to send an unanswered batch, checking first what arrived; longer waits happen above the upload. */
export const MASTER_PUT_ATTEMPTS = 6;
export const MASTER_PUT_PAUSE_MS = 50;
/** Smaller amounts are sent without asking whether they are stored: asking would cost more. */
export const MASTER_ASK_BYTES = 64 * KiB;
/** The default of `--lease`: how long a master keeps blocks that no root reaches. */
export const MASTER_LEASE_MS = 24 * 60 * 60 * 1_000;
/** How often the root is read: if the master announces new ones, and if it does not. */
export const MASTER_POLL_MS = 5_000;
export const MASTER_POLL_ALONE_MS = 1_000;

// The overlay
/** Journal segments are filled with zeros in advance; two exist from the start. */
export const JOURNAL_SEGMENT_BYTES = 4 * MiB;
/** What the journal takes for each object of a published epoch: 25 bytes, rounded up. */
export const PUBLISHED_ROW_BYTES = 32;
/** A batch of records is written before it exceeds this. */
export const JOURNAL_FRAME_BYTES = 256 * KiB;
/** The journal is checkpointed at this size, or at half of what the last checkpoint wrote if that is more. */
export const CHECKPOINT_BYTES = 8 * MiB;
/** The journal carries bytes of writes up to this size, if an fsync was at most this long ago. */
export const CARRIED_WRITE_BYTES = 8 * KiB;
export const FSYNC_RECENT_MS = 1_000;
/** A disk flush of at most this duration is always waited for synchronously. */
export const QUICK_FLUSH_MS = 0.5;
/** Slower flushes may block the serving thread for this share of the time … */
export const SLOW_FLUSH_SHARE = 0.05;
/** … and for this long in a row. */
export const SLOW_FLUSHES_MS = 20;
/** An epoch is sealed at this many changed objects: an agent needs memory for two such epochs. */
export const EPOCH_OBJECTS = 4_096;
/** Above that, while an epoch is being published, each changing call is delayed: this long at twice as many objects … */
export const PACE_MS = 20;
/** … but never longer than this. */
export const PACE_MAX_MS = 50;
/** Delays end once publishing has taken this long for each EPOCH_OBJECTS of the epoch. */
export const PACED_MS = 5_000;
/** Delays may begin later, as many objects on as the epoch in flight has, but never beyond this many EPOCH_OBJECTS. */
export const PACED_EPOCHS = 4;
/** This many bytes of an unpublished object's extended attributes, or of its symlink target, count as another object. */
export const VALUE_UNIT_BYTES = 2 * KiB;
/** Added to each attribute's bytes before they are counted. */
export const XATTR_OVERHEAD_BYTES = 256;
/** With --cache-size SIZE, an epoch is sealed once its unpublished bytes reach this share of the limit. */
export const ROOM_SEALED_SHARE = 0.25;
/** Above this share, writes of PACED_WRITE_BYTES or more are delayed by up to PACE_MAX_MS, smaller ones by less. */
export const ROOM_PACED_SHARE = 0.75;
export const PACED_WRITE_BYTES = 128 * KiB;
/** At the limit, writes wait until publishing has failed, or has moved no byte, for this long. */
export const ROOM_FAILING_MS = 5_000;
export const ROOM_STALLED_MS = 120_000;
export const ROOM_LOOK_MS = 250;
/** An eighth of the limit, at most this much, is reserved for cached blocks: names must be readable offline. */
export const CACHE_RESERVED_BYTES = 128 * MiB;
/** The lowest limit allowed: a write has up to 1 MiB, and several must fit. */
export const LEAST_LIMIT_BYTES = 16 * MiB;
/** Objects of an epoch sent between threads in one message. */
export const EPOCH_PIECE = 512;
/** From this many objects on, publishing an epoch frees memory midway. */
export const LARGE_EPOCH_OBJECTS = 8_192;
/** Inode rows held in memory before some are written to the tables, and how many are written then. */
export const WAITING_INODES = 2_048;
export const INODE_BATCH = 512;
/** Files up to this size share data files until published; shared data files have at most this size. */
export const SMALL_FILE_BYTES = 64 * KiB;
export const SHARED_FILE_BYTES = 64 * MiB;
export const MAX_OPEN_DATA_FILES = 256;
/** Clean inodes whose rows and records stay in memory. */
export const CLEAN_INODES = 8_192;
/** Rows of a published epoch in one journal record. */
export const ROWS_PER_RECORD = 500;
/** Discarded data files are removed at this many, or this long after the first one. */
export const SWEEP_FILES = 256;
export const SWEEP_MS = 100;

// The filesystem
/** Names of one file: what ext4 allows. */
export const MAX_LINKS = 65_000;
/** A file's size: the greatest integer that a double holds exactly. */
export const MAX_FILE_BYTES = Number.MAX_SAFE_INTEGER;
/** Base rows read by one step of a listing. */
export const LISTING_BATCH = 256;
/** Directories whose listing state is remembered, and those whose next rows are kept too. */
export const OPEN_LISTINGS = 64;
export const LISTED_PAGES = 8;
/** Above this many changed names and inodes, they are not invalidated one by one. */
export const MAX_INVALIDATIONS = 10_000;

// The machine
/** `agent.log` is rotated above this size. */
export const LOG_BYTES = 8 * MiB;
/** How long an ending agent publishes, unless --drain says otherwise. */
export const DRAIN_MS = 30_000;
/** The block cache of an agent unless --cache-size says otherwise. */
export const DEFAULT_CACHE_BYTES = 1024 * MiB;
/** The first pause before an agent retries an unreachable bucket: doubled each time. */
export const RECONNECT_FIRST_MS = 500;
export const RECONNECT_MAX_MS = 5_000;
/** How long a command waits for a silent master, unless --timeout says otherwise. */
export const WRITE_PATIENCE_MS = 60_000;
export const READ_PATIENCE_MS = 5_000;

// The block cache on disk (blocks/disk-block-cache.ts)
/** Blocks leave the cache a segment at a time: this much, or a sixteenth of a small cache. */
export const CACHE_SEGMENT_BYTES = 64 * MiB;
/** A segment's file is closed after this long without a read or an append. */
export const SEGMENT_UNUSED_MS = 2_000;
/** Blocks waiting to be written into the cache. Uploads then wait for room; other blocks are not cached. */
export const CACHE_BACKLOG_BYTES = 16 * MiB;
/** Tree nodes that an agent caches after mounting: 64 MiB of usual nodes, the names of 600,000 files. */
export const WARM_UP_NODES = 4_096;
/** The block cache leaves this much of its disk free, or a quarter of a small disk. */
export const CACHE_KEEPS_FREE_BYTES = 1024 * MiB;
/** nice(2) of the thread that serves the filesystem: usual for system services that others wait for. */
export const SERVING_NICENESS = -10;
/** Page memory of one SQLite connection: an agent has several, and the system caches the files too. */
export const SQLITE_CACHE_KIB = 2_048;
/** How many inode numbers a process may give out without recording them: more than the journal can hold between checkpoints. */
export const RESERVED_INODES = 1 << 18;
/** A mount looks for inode rows of removed objects after this time, so many rows at a time, with pauses in between. */
export const GONE_INODES_WAIT_MS = 60_000;
export const GONE_INODES_PORTION = 128;
export const GONE_INODES_PAUSE_MS = 20;
/** The overlay's tables copy their log into the database after this many changed rows, or bytes, since a row may be large. */
export const TABLES_LOG_ROWS = 1_000;
export const TABLES_LOG_BYTES = 4 * MiB;

// Folder sync (sync/)
/** Smaller files are read and fetched in groups: opening and closing each alone costs more than its bytes. */
export const SYNC_SMALL_BYTES = 64 * KiB;
/** Larger syncs go in portions of this size: unsent files take some KiB each in memory, and are resent after a kill. */
export const SYNC_PORTION_THINGS = 8_192;
export const SYNC_PORTION_BYTES = 1024 * MiB;
/** `put -r` and `rm -r` publish after so many files, links and directories, or SYNC_PORTION_BYTES; less is one commit. */
export const PUT_PORTION_THINGS = 8_192;

// Cutting files while they are rewritten (overlay/beginnings.ts, agent/publishing/early-cutting.ts)
/** Longer files are cut before they are complete; shorter ones cost little after the close. */
export const EARLY_LEAST_BYTES = 16 * MiB;
/** The publishing thread is notified at each of this many parts of that size. */
export const EARLY_STEPS = 2;
/** Data files for which the length written in order is tracked. */
export const BEGINNINGS_KEPT = 64;
/** Files cut early at the same time: 3 MiB of memory each. */
export const EARLY_FILES = 4;
/** Chunks and holes remembered per file, 50 to 100 bytes each: 16 GiB in chunks of 256 KiB. */
export const EARLY_PIECES = 65_536;
/** After this many bytes, more than half must be in the old file's chunks; otherwise early cutting stops. */
export const EARLY_TRIAL_BYTES = 16 * MiB;
/** How long the publishing thread cuts before it yields, and what is added to its niceness meanwhile. */
export const EARLY_SLICE_MS = 4;
export const BACKGROUND_NICENESS = 10;

// HTTP: what a master and its clients agree on, and limits of all our servers (docs/reference/protocol.md, Limits)
/** Request line and headers together. */
export const MAX_HEADER_BYTES = 16 * KiB;
export const MAX_JSON_BYTES = 1 * MiB;
export const MAX_CAR_BYTES = 64 * MiB;
/** CIDs in one call. */
export const MAX_HAVE_CIDS = 10_000;
export const MAX_GET_CIDS = 1_000;
/** Requests of one connection handled at once; further ones are not read yet. */
export const MAX_CONNECTION_CALLS = 32;
/** Unanswered requests of one connection: above this it is cut. */
export const MAX_WAITING_CALLS = 128;
/** Connections still sending headers that are spared when another must be closed. */
export const KEPT_IDLE_CONNECTIONS = 64;
/** How long a body, or an answer's reader, may be silent before it is cut. */
export const BODY_PATIENCE_MS = 30_000;
/** How long a connection may take to send headers, and how long it may idle between requests. */
export const HEADER_PATIENCE_MS = 30_000;
export const IDLE_CONNECTION_MS = 65_000;
/** How much of an unwanted body is drained, so that its sender sees the answer. */
export const MAX_DISCARDED_BYTES = 64 * MiB;
/** A CAR's header lists its roots; ours has none. */
export const MAX_CAR_HEADER_BYTES = 64 * KiB;
