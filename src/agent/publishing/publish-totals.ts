/** What publishing has cost, for `status`. */
import type { PublishFigures } from "../../bucket/publish/outcome.ts";
import type { EncodedOutcome } from "./encoded-outcome.ts";

const NO_FIGURES: PublishFigures = { attempts: 0, requests: 0, uploadedBytes: 0, uploadedBlocks: 0, blocksRead: 0 };

export class PublishTotals {
  all: PublishFigures & { readonly flushes: number } = { ...NO_FIGURES, flushes: 0 };
  last: { readonly attempts: number; readonly conflicts: number } = { attempts: 0, conflicts: 0 };

  add({ kind, figures, ...rest }: EncodedOutcome): void {
    const conflicts = "conflicts" in rest ? rest.conflicts.length : 0;
    this.last = { attempts: figures.attempts, conflicts };
    const { flushes, attempts, requests, uploadedBytes, uploadedBlocks, blocksRead } = this.all;
    this.all = {
      flushes: flushes + (kind === "published" ? 1 : 0),
      attempts: attempts + figures.attempts,
      requests: requests + figures.requests,
      uploadedBytes: uploadedBytes + figures.uploadedBytes,
      uploadedBlocks: uploadedBlocks + figures.uploadedBlocks,
      blocksRead: blocksRead + figures.blocksRead,
    };
  }
}
