/**
 * The numbers of the FUSE protocol and of the memory that the addon shares with JavaScript: opcodes, flags, cells.
 *
 * Sources: include/uapi/linux/fuse.h of Linux 6.18 (protocol 7.45) and native/layout.h, which has the same cells.
 */

/** Changes with any cell below, and with what the addon exports; the addon reports its own. */
export const LAYOUT_VERSION = 8;

/** The version spoken here; the kernel adapts to it. */
export const PROTOCOL_MAJOR = 7;
export const PROTOCOL_MINOR = 40;
/** The first minor version with FUSE_NOTIFY_INC_EPOCH. */
export const MINOR_WITH_EPOCH = 44;
/** Since this minor version, a name can be made to be looked up again without being dropped. */
export const MINOR_WITH_EXPIRY = 38;

export const MAX_WRITE_BYTES = 1 << 20;
export const OUTPUT_BYTES = 4 << 20;

/** Requests as the door sees them. RENAME arrives as RENAME2; the addon itself answers opcodes missing here. */
export const OPCODE = {
  LOOKUP: 1,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  INIT: 26,
  READDIR: 28,
  FSYNCDIR: 30,
  CREATE: 35,
  INTERRUPT: 36,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
} as const;

/** Cells of a row, in units of 8 bytes. Arguments of an opcode start at ARGUMENT, attributes at ATTRIBUTES. */
export const CELL = {
  OPCODE: 0,
  TICKET: 1,
  NODE: 2,
  UID: 3,
  GID: 4,
  THREAD: 5,
  FIRST_NAME: 6,
  ARGUMENT: 7,
  KIND: 16,
  VALUE: 17,
  ATTRIBUTES: 18,
  FLAGS: 29,
  /** In an answer to STATX; 0: unknown. */
  BIRTH: 29,
  LENGTH: 30,
  /** The request's number on its connection; negative: sent again to an agent that replaces another one. */
  UNIQUE: 31,
} as const;

export const ROWS = 64;
export const ROW_CELLS = 32;
/** The row that answers a deferred request. */
export const SOLO_ROW = ROWS * ROW_CELLS;

/** Cells of attributes, relative to where they start. */
export const ATTRIBUTE = {
  INO: 0,
  MODE: 1,
  NLINK: 2,
  UID: 3,
  GID: 4,
  RDEV: 5,
  SIZE: 6,
  BLOCKS: 7,
  ATIME: 8,
  MTIME: 9,
  CTIME: 10,
} as const;

/** Directory entries: attributes, then these. */
export const ENTRY = { AT: (ROWS + 1) * ROW_CELLS, CELLS: 16, MOST: 1024, NEXT: 11, NAME_LENGTH: 12 } as const;

/** Bytes before the name of an entry in READDIR and READDIRPLUS; entries are padded to 8 bytes. */
export const DIRENT_HEAD_BYTES = 24;
export const DIRENTPLUS_HEAD_BYTES = 152;

/** The kinds of a row's answer. */
export const REPLY = {
  NONE: 0,
  ERROR: 1,
  ENTRY: 2,
  ATTRIBUTES: 3,
  OPENED: 4,
  CREATED: 5,
  COUNT: 6,
  DATA: 7,
  STATFS: 8,
  XATTR_SIZE: 9,
  POSITION: 10,
  INIT: 11,
  DEFERRED: 12,
} as const;

/** Bits of fuse_setattr_in.valid. */
export const FATTR = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** Bits of a reply to OPEN and CREATE. */
export const FOPEN = { DIRECT_IO: 1 << 0, KEEP_CACHE: 1 << 1, NOFLUSH: 1 << 5 } as const;

/** Bits of fuse_write_in.write_flags. */
export const WRITE_CACHE = 1 << 0;
export const WRITE_KILL_SUIDGID = 1 << 2;

/** A bit of fuse_setxattr_in.setxattr_flags. */
export const SETXATTR_ACL_KILL_SGID = 1 << 0;

/** Bits of INIT's flags. */
export const INIT = {
  ASYNC_READ: 1 << 0,
  BIG_WRITES: 1 << 5,
  DONT_MASK: 1 << 6,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  WRITEBACK_CACHE: 1 << 16,
  PARALLEL_DIROPS: 1 << 18,
  POSIX_ACL: 1 << 20,
  ABORT_ERROR: 1 << 21,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
  HANDLE_KILLPRIV_V2: 1 << 28,
  SETXATTR_EXT: 1 << 29,
  INIT_EXT: 1 << 30,
} as const;

/** Bits of INIT's flags2: 32 and up of what the header of the kernel calls flags. */
export const INIT2 = { DIRECT_IO_ALLOW_MMAP: 1 << 4, HAS_RESEND: 1 << 7 } as const;
