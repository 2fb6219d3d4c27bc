/** INIT: what is agreed with the kernel, once per mount. */
import { ERRNO } from "../base/errno.ts";
import type { Exchange } from "./exchange.ts";
import type { ChosenOptions } from "./options.ts";
import type { Agreed } from "./supervisor.ts";
import { INIT, INIT2, MAX_WRITE_BYTES, PROTOCOL_MAJOR, PROTOCOL_MINOR } from "./protocol.ts";

export interface KernelOffer {
  readonly major: number;
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
}

export interface Wishes {
  /** The kernel collects writes in its page cache. Not before something holds the device when the agent dies. */
  readonly writebackCache: boolean;
  readonly readAheadBytes: number;
  /** The system's page size: the kernel counts READs in pages, and takes a short answer for the end of the file. */
  readonly pageBytes: number;
}

/** Answers INIT. Returns what was agreed, or an error text for a kernel that is too old. */
export function negotiate(exchange: Exchange, options: ChosenOptions & Circumstances): Agreed | string {
  const minor = exchange.argument(1);
  const flags = options.acl ? exchange.argument(3) : exchange.argument(3) & ~INIT.POSIX_ACL;
  const mayResend = options.mayRepeat && options.supervision?.mayResend !== false;
  const flags2 = mayResend ? exchange.argument(4) : exchange.argument(4) & ~INIT2.HAS_RESEND;
  const answer = agree({ major: exchange.argument(0), minor, flags, flags2 }, options);
  if (typeof answer === "string") {
    exchange.error(ERRNO.EPROTO);
    return answer;
  }
  exchange.init(answer);
  return { minor, flags, flags2 };
}

interface Circumstances {
  readonly pageBytes: number;
  /** Whether requests may be sent again to another agent. */
  readonly mayRepeat: boolean;
}

/** The cells of the answer in the order of native/layout.h (InitCell), or an error text for a kernel that is too old. */
export function agree(offer: KernelOffer, wishes: Wishes): number[] | string {
  if (offer.major !== PROTOCOL_MAJOR || offer.minor < OLDEST_MINOR) {
    return `the kernel speaks FUSE ${offer.major}.${offer.minor}, but ${PROTOCOL_MAJOR}.${OLDEST_MINOR} or newer is needed`;
  }
  let wanted = wishes.writebackCache ? WANTED | INIT.WRITEBACK_CACHE : WANTED;
  if (offersAcls(offer.flags)) wanted |= ACLS;
  return [
    Math.min(offer.minor, PROTOCOL_MINOR),
    wishes.readAheadBytes,
    offer.flags & wanted,
    offer.flags2 & (INIT2.DIRECT_IO_ALLOW_MMAP | INIT2.HAS_RESEND),
    MAX_BACKGROUND,
    CONGESTION_THRESHOLD,
    MAX_WRITE_BYTES,
    Math.max(1, MAX_WRITE_BYTES / wishes.pageBytes),
  ];
}

/** Linux 5.10 (Debian 11). Older ones are refused; of later ones, only 6.18 was tested (docs/design/fuse.md). */
const OLDEST_MINOR = 32;

/**
 * Whether the kernel can enforce access control lists here (Linux 5.12). It must say when a list clears set-gid. It must also
 * leave the umask to us, since a directory's default list replaces the umask.
 */
export function offersAcls(flags: number): boolean {
  return (flags & ACLS) === ACLS;
}

const ACLS = INIT.POSIX_ACL | INIT.SETXATTR_EXT | INIT.DONT_MASK;

/**
 * MAX_PAGES: the kernel takes a short answer to a READ for the end of the file. HANDLE_KILLPRIV_V2: `security.capability` is
 * asked once per file, and the door drops set-id bits. The others are on for speed.
 *
 * Off: ASYNC_DIO, with which the pieces of one long append arrive at once, and each goes to the end of the file as it runs.
 * AUTO_INVAL_DATA and EXPLICIT_INVAL_DATA: own writes keep their pages, a new size drops them. POSIX_LOCKS and FLOCK_LOCKS:
 * the kernel's locks outlive the agent. ATOMIC_O_TRUNC: truncation is its own request. EXPORT_SUPPORT: no export by NFS.
 */
const WANTED =
  INIT.ASYNC_READ |
  INIT.BIG_WRITES |
  INIT.PARALLEL_DIROPS |
  INIT.DO_READDIRPLUS |
  INIT.READDIRPLUS_AUTO |
  INIT.MAX_PAGES |
  INIT.CACHE_SYMLINKS |
  INIT.HANDLE_KILLPRIV_V2 |
  INIT.ABORT_ERROR |
  INIT.INIT_EXT;

/**
 * The most background requests, such as read-ahead and RELEASE, under way at once; from the second number on the kernel
 * reads less ahead. Far above its default of 12: requests that wait for an unreachable bucket must not delay the rest.
 */
const MAX_BACKGROUND = 256;
const CONGESTION_THRESHOLD = 192;
