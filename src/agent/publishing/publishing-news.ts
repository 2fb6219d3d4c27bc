/** Tells the filesystem's thread how publishing goes. */
import type { Clock } from "../../base/clock.ts";
import type { ErrorCode, SynclineError } from "../../base/errors.ts";
import type { DataReader } from "../../fstree/change-set.ts";
import type { PublishingNews } from "../../vfs/publish-state.ts";

/** How often it is told that bytes are moving. */
const MOVING_MS = 1_000;

export class NewsOfPublishing {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #tell: (news: PublishingNews) => Promise<void>;
  #movingMs = -Infinity;
  #problem: ErrorCode | undefined;

  constructor(clock: Pick<Clock, "monotonicMs">, tell: (news: PublishingNews) => Promise<void>) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** An attempt has ended, or nothing was to be published. */
  ended(error: SynclineError | undefined): void {
    // Losing a race to other writers is no problem: slow writers get a turn.
    const problem = error?.code === "root_moved" ? undefined : error?.code;
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#send({ problem });
  }

  /** Wraps `reader`: each read of a data file counts as bytes on their way. */
  over(reader: Pick<DataReader, "readData">): DataReader {
    return {
      readData: (...range) => {
        this.#moving();
        return reader.readData(...range);
      },
    };
  }

  #moving(): void {
    const now = this.#clock.monotonicMs();
    if (now - this.#movingMs < MOVING_MS) return;
    this.#movingMs = now;
    this.#send("moving");
  }

  #send(news: PublishingNews): void {
    // The thread may have ended.
    this.#tell(news).catch(() => {});
  }
}
