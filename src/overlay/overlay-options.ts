/** What an overlay is opened with. */
import { JOURNAL_FRAME_BYTES, JOURNAL_SEGMENT_BYTES, PUBLISHED_ROW_BYTES } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Ports } from "../base/ports.ts";
import type { JournalOptions } from "./journal/journal.ts";
import type { BaseRoot } from "./journal/journal-record.ts";
import type { OverlayStorage } from "./disk/storage.ts";

export interface OverlayOptions extends Pick<Ports, "clock" | "log"> {
  readonly storage: OverlayStorage;
  /** The base of a new state. */
  readonly base: BaseRoot;
  readonly limits?: Partial<OverlayLimits>;
  /** The system's by default. */
  readonly random?: Random;
}

export interface OverlayLimits {
  readonly segmentBytes: number;
  readonly frameBytes: number;
  readonly checkpointBytes: number;
  readonly openFiles: number;
  readonly cleanInodes: number;
  readonly epochObjects: number;
  readonly earlyBytes: number;
  /** The most changed objects that memory holds; Infinity by default. */
  readonly unpublishedObjects: number;
  /** The most bytes in data files; by default, what the disk has. */
  readonly unpublishedBytes: number;
}

/** `held`: how many objects an epoch's publication may have to name. On a full disk, it makes room only once it is in the journal. */
export function journalOptions(
  limits: Partial<OverlayLimits> | undefined,
  random: Random,
  held: () => number,
): JournalOptions {
  const { segmentBytes = JOURNAL_SEGMENT_BYTES, frameBytes = JOURNAL_FRAME_BYTES } = limits ?? {};
  const salt = Buffer.from(random.bytes(4)).readUInt32LE();
  return {
    segmentBytes,
    frameBytes,
    salt,
    reserved: () => 1 + Math.floor((held() * PUBLISHED_ROW_BYTES) / segmentBytes),
  };
}
