/** What an overlay is opened with. */
import type { Random } from "../base/random.ts";
import type { Ports } from "../base/ports.ts";
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
