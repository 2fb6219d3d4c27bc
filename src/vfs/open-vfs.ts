/** Opens a state folder as a filesystem over a bucket: recovers unpublished changes, or starts from the given root. */
import { CLEAN_INODES, CONTENT_BYTES, READ_TIMEOUT_MS } from "../base/limits.ts";
import type { BlockReader } from "../blocks/block-store.ts";
import { Overlay } from "../overlay/overlay.ts";
import type { OverlayLimits } from "../overlay/overlay-options.ts";
import type { OverlayOptions } from "../overlay/overlay-options.ts";
import { Loader } from "./loader.ts";
import { Objects } from "./objects.ts";
import { Vfs } from "./vfs.ts";

export interface VfsOptions extends Omit<OverlayOptions, "limits"> {
  /** All blocks of the bucket, verified. */
  readonly blocks: BlockReader;
  readonly limits?: Partial<VfsLimits>;
  /**
   * Whether programs that use the filesystem have done so since before this process, as in a mount whose agent was replaced.
   * What they hold goes on. False: nothing is open.
   */
  readonly goesOn?: boolean;
  /** Called with the bytes in data files after they changed, if `limits` bounds them. */
  readonly onUnpublished?: (bytes: number) => void;
}

export interface VfsLimits extends OverlayLimits {
  /** Memory for tree nodes, and for contents. */
  readonly nodeBytes: number;
  readonly contentBytes: number;
  /** How long a read waits for the bucket. */
  readonly readTimeoutMs: number;
}

const MiB = 1024 * 1024;
const NODE_BYTES = 16 * MiB;

/** Throws `state_corrupt`, `disk_full`, `store_failed`. */
export function openVfs(options: VfsOptions): Vfs {
  return openWithObjects(options).vfs;
}

/** As `openVfs`; also returns the parts of the filesystem. */
export function openWithObjects(options: VfsOptions): { readonly vfs: Vfs; readonly objects: Objects } {
  const { storage, blocks, base, clock, log, limits, onUnpublished, random, goesOn = false } = options;
  const overlay = new Overlay({ storage, base, clock, log, ...(limits && { limits }), ...(random && { random }) });
  if (onUnpublished !== undefined) overlay.room.onHeld = onUnpublished;
  overlay.room.changed();
  const loader = new Loader({
    blocks,
    clock,
    nodeBytes: limits?.nodeBytes ?? NODE_BYTES,
    contentBytes: limits?.contentBytes ?? CONTENT_BYTES,
    timeoutMs: limits?.readTimeoutMs ?? READ_TIMEOUT_MS,
  });
  const objects = new Objects(overlay, loader, clock, limits?.cleanInodes ?? CLEAN_INODES);
  return { vfs: new Vfs(objects, goesOn), objects };
}
