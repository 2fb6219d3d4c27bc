/** A publisher's view of an overlay: edits wait, are sealed as epochs, and stay sealed until published. */
import type { BaseRoot } from "../../src/overlay/journal/journal-record.ts";
import type { PublisherOverlay } from "../../src/agent/publishing/publisher-overlay.ts";
import type { ChangeSet, DataReader, NewBase, PublishedEpoch, SentCommit } from "../../src/fstree/change-set.ts";
import type { Units } from "../../src/format/commits/policy.ts";
import { epochOf, type ObjectEdit } from "./epochs.ts";

export class FakeOverlay implements PublisherOverlay {
  readonly publishedEpochs: PublishedEpoch[] = [];
  readonly adopted: NewBase[] = [];
  /** Runs first in `published` and `adopt`. */
  before: () => Promise<void> = async () => {};
  readonly data: DataReader = { readData: (...range) => this.#reader.readData(...range) };
  #base: BaseRoot;
  #edits: ObjectEdit[] = [];
  #older: BaseRoot[] = [];
  #sealed: ObjectEdit[] = [];
  #epoch: number;
  #inFlight: ChangeSet | undefined;
  #reader: DataReader = { readData: async () => new Uint8Array() };

  constructor(base: BaseRoot, epoch = 0) {
    this.#base = base;
    this.#epoch = epoch;
  }

  get holdsEpoch(): boolean {
    return this.#inFlight !== undefined;
  }

  edit(...edits: ObjectEdit[]): void {
    this.#edits.push(...edits);
  }

  async seal(anew: boolean, removals?: Units): Promise<ChangeSet | undefined> {
    if (removals !== undefined) return this.#sealRemovals();
    if (this.#inFlight !== undefined && !anew) return this.#inFlight;
    if (this.#edits.length === 0) {
      if (this.#inFlight !== undefined) this.#inFlight = withoutNotes(this.#inFlight);
      return this.#inFlight;
    }
    this.#sealed = [...(this.#inFlight === undefined ? [] : this.#sealed), ...this.#edits.splice(0)];
    const { changes, data } = epochOf(this.#base, ++this.#epoch, this.#sealed);
    this.#inFlight = changes;
    this.#reader = data;
    return changes;
  }

  /** The edits that wait are sealed later. */
  #sealRemovals(): ChangeSet | undefined {
    const all = [...this.#sealed, ...this.#edits];
    const removals = all.filter((edit) => edit.names.length === 0);
    if (removals.length === 0) return undefined;
    this.#edits = all.filter((edit) => !removals.includes(edit));
    this.#sealed = removals;
    const { changes, data } = epochOf(this.#base, ++this.#epoch, removals);
    this.#inFlight = changes;
    this.#reader = data;
    return changes;
  }

  async sending(_epoch: number, sent: SentCommit): Promise<void> {
    if (this.#inFlight === undefined) throw new Error("Nothing is in flight.");
    this.#inFlight = { ...this.#inFlight, sent: [...(this.#inFlight.sent ?? []), sent] };
  }

  async olderBases(): Promise<readonly BaseRoot[]> {
    return this.#older;
  }

  async published(epoch: PublishedEpoch): Promise<void> {
    await this.before();
    this.#inFlight = undefined;
    this.#older = this.#edits.length > 0 ? [...this.#older, this.#base] : [];
    this.#base = epoch.base;
    this.publishedEpochs.push(epoch);
  }

  async adopt(base: NewBase): Promise<boolean> {
    await this.before();
    if (this.#edits.length > 0 || this.#inFlight !== undefined) this.#older.push(this.#base);
    this.#base = base;
    this.adopted.push(base);
    if (this.#inFlight !== undefined) this.#inFlight = epochOf(base, ++this.#epoch, this.#sealed).changes;
    return true;
  }
}

function withoutNotes({ epoch, reference, lamport, objects, directories }: ChangeSet): ChangeSet {
  return { epoch, reference, lamport, objects, directories };
}
