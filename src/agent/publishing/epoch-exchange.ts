/** Epochs on the thread that serves: handed over and taken back in pieces (overlay-proxy.ts). */
import { SynclineError } from "../../base/errors.ts";
import { EPOCH_PIECE } from "../../base/limits.ts";
import type { ChangeSet, PublishedEpoch } from "../../fstree/change-set.ts";
import { packChanged, PackedObjects } from "../../overlay/data/packed-epoch.ts";
import type { PublishedPiece, SealedEpoch, WorkerMethods } from "../threads/threads.ts";

/** What of the filesystem this needs. */
export interface EpochSource {
  seal(anew?: boolean): ChangeSet | undefined;
  sync(): Promise<void>;
  published(epoch: PublishedEpoch): void;
}

export class EpochExchange {
  readonly #source: EpochSource;
  #sealed: ChangeSet | undefined;
  #published: Uint8Array[] = [];

  constructor(source: EpochSource) {
    this.#source = source;
  }

  async seal(anew = false): Promise<SealedEpoch | undefined> {
    this.#sealed = this.#source.seal(anew);
    if (this.#sealed === undefined) return undefined;
    // The epoch's number must not come back after power loss once its changes left this machine.
    await this.#source.sync();
    const { objects, ...head } = this.#sealed;
    return { head, count: objects.length, first: this.sealedObjects({ from: 0, to: EPOCH_PIECE }) };
  }

  /** Throws `internal` when nothing was sealed. */
  sealedObjects({ from, to }: { readonly from: number; readonly to: number }): Uint8Array {
    if (this.#sealed === undefined) throw new SynclineError("internal", "There is no sealed epoch.");
    return packChanged(this.#sealed.objects.slice(from, to));
  }

  publishedObjects({ index, objects }: PublishedPiece): void {
    this.#published = [...this.#published.slice(0, index), objects];
  }

  /** How many objects it had. */
  published({ last, ...epoch }: Parameters<WorkerMethods["published"]>[0]): number {
    if (last !== undefined) this.publishedObjects(last);
    const objects = new PackedObjects(last === undefined ? [] : this.#published);
    this.#published = [];
    this.#source.published({ ...epoch, objects });
    this.#sealed = undefined;
    return objects.size;
  }
}
