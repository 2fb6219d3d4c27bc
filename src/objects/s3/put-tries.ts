/** How often a put is sent before its outcome stays unknown. */
import type { S3Client } from "./s3-client.ts";

/** Counts the tries. While a server answers that it is in trouble, a patient client repeats the put for its time instead. */
export class PutTries {
  readonly #client: S3Client;
  readonly #signal: AbortSignal | undefined;
  #left: number;
  #tries = 0;

  constructor(client: S3Client, most: number, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#left = most - 1;
    this.#signal = signal;
  }

  /** Pauses before the put is sent again. False: it is given up. Throws the signal's reason. */
  async again(): Promise<boolean> {
    if (this.#left === 0) return false;
    this.#left--;
    await this.#client.backOff(++this.#tries, this.#signal);
    return true;
  }

  /** As `again`, after an answer of trouble. */
  async afterTrouble(trouble: unknown): Promise<boolean> {
    const time = this.#client.putTime;
    if (time === undefined) return this.again();
    const goesOn = await time.pause(this.#client.unreachable(trouble), this.#tries++, this.#signal);
    this.#signal?.throwIfAborted();
    return goesOn;
  }
}
