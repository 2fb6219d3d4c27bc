/** How a bucket is mounted: the caller's options and their defaults. */
import type { Ports } from "../base/ports.ts";
import type { SessionSettings } from "./addon.ts";
import type { IndexRule } from "./index-programs.ts";
import { AS_STORED, type OwnerRule } from "./owners.ts";
import type { Supervision } from "./supervisor.ts";

export interface FuseOptions extends Pick<Ports, "clock" | "log"> {
  /** An existing directory; see `prepareMountPoint`. */
  readonly mountPoint: string;
  /** What `mount` and `df` show as the device: the bucket's address. */
  readonly source: string;
  readonly readOnly?: boolean;
  /** Whether the kernel refuses to run programs from it. */
  readonly noexec?: boolean;
  /** How long the kernel may cache attributes, names and absences. Changes made elsewhere are reported at once. */
  readonly attributeTimeoutS?: number;
  readonly entryTimeoutS?: number;
  readonly negativeTimeoutS?: number;
  /** Writes collect in the kernel: faster, but lost if the mount is aborted. */
  readonly writebackCache?: boolean;
  /** How far the kernel reads ahead in sequential reads. */
  readonly readAheadBytes?: number;
  /** How long the serving thread stays awake for the next request, while one follows another; 0: not at all. */
  readonly spinUs?: number;
  /** Which owners it shows. */
  readonly owners?: OwnerRule;
  /**
   * Whether the kernel enforces access control lists. It then asks for the list of the mount's root directory at each path
   * lookup by anyone but that directory's owner.
   */
  readonly acl?: boolean;
  /** Whether it reports birth times, at the cost of one request per inode for programs that ask for them. */
  readonly birthTimes?: boolean;
  /** Limits what index programs may fetch from the bucket. */
  readonly indexing?: IndexRule | undefined;
  /** How another process takes over if this one dies. Undefined: the mount ends with this process. */
  readonly supervision?: Supervision | undefined;
}

export type ChosenOptions = Required<FuseOptions>;

export function chooseOptions(options: FuseOptions): ChosenOptions {
  return { ...DEFAULTS, ...options };
}

/** Long, since changes are reported; finite, so that a message that came too early in a race heals by itself. */
const CACHE_SECONDS = 600;

const DEFAULTS = {
  readOnly: false,
  noexec: false,
  attributeTimeoutS: CACHE_SECONDS,
  entryTimeoutS: CACHE_SECONDS,
  negativeTimeoutS: CACHE_SECONDS,
  writebackCache: false,
  /** Four requests of the largest size. */
  readAheadBytes: 4 << 20,
  /** What waking a program on another processor and its next call take, at most. */
  spinUs: 100,
  supervision: undefined,
  indexing: undefined,
  owners: AS_STORED,
  acl: false,
  birthTimes: false,
};

export function sessionSettings(options: ChosenOptions): SessionSettings {
  const { attributeTimeoutS, entryTimeoutS, negativeTimeoutS, spinUs } = options;
  const timeouts = { attributeTimeoutS, entryTimeoutS, negativeTimeoutS };
  return { ...timeouts, blockSize: BLOCK_BYTES, spinUs };
}

const BLOCK_BYTES = 4096;
