/** Epochs on the thread that serves: handed over and taken back in pieces (overlay-caller.ts). */
import { SynclineError } from "../base/errors.ts";
import type { ChangedObject, ChangeSet, PublishedEpoch } from "../bucket/change-set.ts";
import type { PublishedObject, SealedEpoch } from "./threads.ts";

/** What of the filesystem this needs. */
export interface EpochSource {
  seal(): ChangeSet | undefined;
  sync(): Promise<void>;
  published(epoch: PublishedEpoch): void;
}

export class EpochExchange {
  readonly #source: EpochSource;
  #sealed: ChangeSet | undefined;
  #published = new Map<PublishedObject[0], PublishedObject[1]>();

  constructor(source: EpochSource) {
    this.#source = source;
  }

  async seal(): Promise<SealedEpoch | undefined> {
    this.#sealed = this.#source.seal();
    if (this.#sealed === undefined) return undefined;
    // The epoch's number must not come back after power loss once its changes left this machine.
    await this.#source.sync();
    const { objects, ...head } = this.#sealed;
    return { head, count: objects.length };
  }

  /** Throws `internal` when nothing was sealed. */
  sealedObjects({ from, to }: { readonly from: number; readonly to: number }): readonly ChangedObject[] {
    if (this.#sealed === undefined) throw new SynclineError("internal", "There is no sealed epoch.");
    return this.#sealed.objects.slice(from, to);
  }

  publishedObjects({
    first,
    objects,
  }: {
    readonly first: boolean;
    readonly objects: readonly PublishedObject[];
  }): void {
    if (first) this.#published.clear();
    for (const [ino, object] of objects) this.#published.set(ino, object);
  }

  /** How many objects it had. */
  published(epoch: Omit<PublishedEpoch, "objects">): number {
    const objects = this.#published;
    this.#published = new Map();
    this.#source.published({ ...epoch, objects });
    this.#sealed = undefined;
    return objects.size;
  }
}
