/** Publishes what a command changes in portions of one commit each, which bounds memory. */
import { requirePublished, type CommandWriter } from "../../agent/command-writer.ts";
import { addFigures, NO_FIGURES, type PublishFigures } from "../../bucket/publish/outcome.ts";
import type { BucketWriter, WriterPublication } from "../../bucket/writer.ts";
import type { Root } from "../../roots/root-store.ts";

export interface PortionOptions {
  readonly session: Pick<CommandWriter, "bucket" | "writer" | "another">;
  /** For people: what made the commits. */
  readonly note: string;
  /** Frees a portion's memory. */
  readonly release?: () => void;
}

/** The newest root, and the sums over all portions. */
export interface PublishedPortions {
  readonly root: Root;
  readonly conflicts: number;
  readonly figures: PublishFigures;
}

export class PortionWriter implements AsyncDisposable {
  readonly #options: PortionOptions;
  #writer: BucketWriter;
  #conflicts = 0;
  #figures = NO_FIGURES;

  constructor(options: PortionOptions) {
    this.#options = options;
    this.#writer = options.session.writer;
  }

  /** Takes the changes of this portion. */
  get writer(): BucketWriter {
    return this.#writer;
  }

  /** Publishes this portion. Throws as publishing does. Call `next` before any more changes. */
  async publish(publication: WriterPublication = {}): Promise<PublishedPortions> {
    const { root, conflicts, figures } = requirePublished(await this.#writer.publish(this.#options.note, publication));
    this.#conflicts += conflicts.length;
    this.#figures = addFigures(this.#figures, figures);
    return { root, conflicts: this.#conflicts, figures: this.#figures };
  }

  /** Begins a portion on the newest root, after the previous one is published. */
  async next(): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
    this.#options.release?.();
    this.#writer = await this.#options.session.another();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}
