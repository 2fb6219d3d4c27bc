/** A bucket in memory whose user dies at a chosen step of its requests: that step, or its result, never returns. */
import type { Cid } from "../../src/base/ids.ts";
import type { Block } from "../../src/blocks/block-store.ts";
import type { BucketRemote, PreparedSwap, Upload, UploadSession } from "../../src/bucket/remote.ts";
import type { Root } from "../../src/roots/root-store.ts";
import type { MemoryRemote } from "./memory-remote.ts";

export class MortalRemote implements BucketRemote {
  readonly #remote: MemoryRemote;
  readonly #moments: string[] = [];
  #left = Infinity;
  #last: string | undefined;
  #die: () => void = () => {};

  constructor(remote: MemoryRemote) {
    this.#remote = remote;
  }

  /** The steps since the last `dieAt` that the user survived. */
  get moments(): readonly string[] {
    return this.#moments;
  }

  /** Resolves when step `index` is reached; that step never ends. Never resolves if there are fewer steps. */
  dieAt(index: number): Promise<void> {
    this.#moments.length = 0;
    this.#left = index;
    this.#last = undefined;
    return new Promise((resolve) => (this.#die = resolve));
  }

  /** Resolves when a step of this kind is reached for the first time; that step never ends. */
  dieBefore(what: string): Promise<void> {
    const death = this.dieAt(Infinity);
    this.#last = what;
    return death;
  }

  get address(): string {
    return this.#remote.address;
  }

  get blocks() {
    return this.#remote.blocks;
  }

  readGenesis(): Promise<Uint8Array> {
    return this.#remote.readGenesis();
  }

  create(genesis: Block, first: Upload): Promise<boolean> {
    return this.#remote.create(genesis, first);
  }

  async readRoot(): Promise<Root | undefined> {
    await this.#moment("read root");
    return this.#remote.readRoot();
  }

  beginUpload(): UploadSession {
    const session = this.#remote.beginUpload();
    return {
      blocks: session.blocks,
      putContent: async (block) => {
        await this.#moment("put content");
        await session.putContent(block);
      },
      prepare: async (expected, upload) => {
        await this.#moment("prepare");
        const prepared = await session.prepare(expected, { ...upload, blocks: this.#eachBlock(upload.blocks) });
        await this.#moment("prepared");
        return { ...prepared, swap: () => this.#swap(prepared) };
      },
      [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
    };
  }

  watch(): Disposable {
    return this.#remote.watch();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #swap(prepared: PreparedSwap) {
    await this.#moment("swap");
    const outcome = await prepared.swap();
    await this.#moment("swapped");
    return outcome;
  }

  async *#eachBlock(blocks: Upload["blocks"]): AsyncGenerator<{ readonly cid: Cid; readonly bytes: Uint8Array }> {
    for await (const block of blocks) {
      await this.#moment("put block");
      yield block;
    }
  }

  async #moment(what: string): Promise<void> {
    if (this.#left-- > 0 && what !== this.#last) {
      this.#moments.push(what);
      return;
    }
    this.#die();
    await new Promise<never>(() => {});
  }
}
