/** Hands over and takes back epochs in pieces, on the thread that serves (overlay-proxy.ts). */
import { SynclineError } from "../../base/errors.ts";
import { EPOCH_PIECE } from "../../base/limits.ts";
import type { ChangeSet, PublishedEpoch } from "../../fstree/change-set.ts";
import { encodeChanged, EncodedObjects } from "../../overlay/data/encoded-epoch.ts";
import type { Units } from "../../format/commits/policy.ts";
import type { PublishedPiece, SealedEpoch, WorkerMethods } from "../threads/threads.ts";

/** What this needs of the filesystem. */
export interface EpochSource {
  seal(anew?: boolean, removals?: Units): ChangeSet | undefined;
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

  async seal(anew = false, removals?: Units): Promise<SealedEpoch | undefined> {
    this.#sealed = this.#source.seal(anew, removals);
    if (this.#sealed === undefined) return undefined;
    // After power loss, an epoch's number must not be reused once its changes have left this machine.
    await this.#source.sync();
    const { objects, ...head } = this.#sealed;
    return { head, count: objects.length, first: this.sealedObjects({ from: 0, to: EPOCH_PIECE }) };
  }

  /** Throws `internal` when nothing was sealed. */
  sealedObjects({ from, to }: { readonly from: number; readonly to: number }): Uint8Array {
    if (this.#sealed === undefined) throw new SynclineError("internal", "There is no sealed epoch.");
    return encodeChanged(this.#sealed.objects.slice(from, to));
  }

  publishedObjects({ index, objects }: PublishedPiece): void {
    this.#published = [...this.#published.slice(0, index), objects];
  }

  /** Answers how many objects the epoch had. */
  published({ last, ...epoch }: Parameters<WorkerMethods["published"]>[0]): number {
    if (last !== undefined) this.publishedObjects(last);
    const objects = new EncodedObjects(last === undefined ? [] : this.#published);
    this.#published = [];
    this.#source.published({ ...epoch, objects });
    this.#sealed = undefined;
    return objects.size;
  }
}
