/**
 * The publishing half of an agent: takes sealed epochs from the thread that serves, publishes them, adopts what others
 * published, and keeps the figures for `status`. Does one thing at a time.
 */
import type { Clock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Lamport, WriterId } from "../../base/ids.ts";
import { ADOPT_NODES, LARGE_EPOCH_OBJECTS, RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../../base/limits.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Bucket, CurrentRoot } from "../../bucket/bucket.ts";
import type { ChangeSet, DataReader, SentCommit } from "../../fstree/change-set.ts";
import { changesTo } from "../../bucket/catch-up.ts";
import { publishEpoch } from "../../bucket/publish.ts";
import type { MergeSnapshots } from "../../bucket/publish/workspace.ts";
import { rolledBackUnder, rootRolledBack } from "../../bucket/root-witness.ts";
import type { BaseRoot } from "../../overlay/journal/journal-record.ts";
import { NodeStore } from "../../tree/node-store.ts";
import { EpochGarbage, type ReleaseTime } from "./epoch-garbage.ts";
import type { FlushEnd } from "./flush-schedule.ts";
import { CountedReader } from "./counted-reader.ts";
import { HeldEpoch } from "./held-epoch.ts";
import type { HeldBase } from "../state/held-base.ts";
import type { Writer } from "../../bucket/publish/next-commit.ts";
import type { RenewableWriter } from "./renewable-writer.ts";
import type { PublisherOverlay } from "./publisher-overlay.ts";
import { encoded, type EncodedOutcome } from "./encoded-outcome.ts";
import { PublishTotals } from "./publish-totals.ts";
import { UNREACHABLE } from "./publish-errors.ts";
import { SeenConflicts, type SeenConflict } from "./seen-conflicts.ts";
import { Throughput } from "./throughput.ts";

export interface PublisherOptions {
  readonly bucket: Bucket;
  /** Undefined: nothing is published. */
  readonly writer: RenewableWriter | undefined;
  /** Whether the base never changes, because an old state is shown. */
  readonly fixed: boolean;
  /** Whether a person accepted the root at the address, which did not help changes that follow a lost one. */
  readonly accepted?: boolean;
  readonly overlay: PublisherOverlay;
  readonly data: DataReader;
  readonly base: BaseRoot;
  /** Older bases that unpublished changes need, oldest first. */
  readonly older?: readonly BaseRoot[];
  /** Whether the overlay holds an epoch that was sealed before a restart. */
  readonly held: boolean;
  /** Tells the bucket which root unpublished changes are based on, if the bucket takes that. */
  readonly heldBase?: Pick<HeldBase, "stand" | "leave" | "replaced">;
  /** Replaces the real merge: for simulations that must detect a faulty one. */
  readonly merge?: MergeSnapshots;
  /** An error while publishing and adopting are paused, else undefined. A pause also stops an upload under way. */
  readonly paused?: () => SynclineError | undefined;
  /** Called after large epochs, with "when quiet" after smaller ones, and during an epoch that reads much. */
  readonly releaseMemory: (when: ReleaseTime) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface PublisherState {
  readonly writer: WriterId | undefined;
  readonly base: BaseRoot;
  /** The newest root seen. */
  readonly root: Cid | undefined;
  readonly version: number | undefined;
  readonly online: boolean;
  readonly lastError: SynclineError | undefined;
  readonly conflicts: readonly SeenConflict[];
  readonly totals: PublishTotals["all"];
  readonly last: PublishTotals["last"];
}

const DONE: FlushEnd = { again: false, afterMs: 0 };

export class Publisher {
  readonly #options: PublisherOptions;
  readonly #nodes: NodeStore;
  readonly #throughput: Throughput;
  #base: BaseRoot;
  #root: CurrentRoot | undefined;
  readonly #held: HeldEpoch;
  /** Older bases that unpublished changes need, as the overlay said last. */
  #older: readonly BaseRoot[];
  /** Others published while we published our last epoch. */
  #contended = false;
  #online = true;
  #lastError: SynclineError | undefined;
  #retryMs = RECONNECT_FIRST_MS;
  readonly #conflicts: SeenConflicts;
  readonly #totals = new PublishTotals();
  readonly #garbage: EpochGarbage;
  /** The end of the queue: flushes and adoptions run one after the other. */
  #tail: Promise<unknown> = Promise.resolve();
  /** When the latest root notice came, and when our last successful swap was sent: earlier notices need no catch-up. */
  #noticedMs = -Infinity;
  #swapMs = -Infinity;
  /** A catch-up that has not started and has no flush after it: later notices share it. */
  #notice: Promise<FlushEnd> | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#throughput = new Throughput(options.clock);
    this.#garbage = new EpochGarbage(options.releaseMemory);
    this.#base = options.base;
    this.#older = options.older ?? [];
    this.#conflicts = new SeenConflicts(options.clock);
    const root = async () => (await options.bucket.current())?.commit.cid;
    this.#held = new HeldEpoch({ overlay: options.overlay, root, held: options.held });
    if (options.held) this.#standOnBases();
    this.#nodes = new NodeStore(options.bucket.blocks, ADOPT_NODES);
  }

  state(): PublisherState {
    return {
      writer: this.#options.writer?.writer.device.writer,
      base: this.#base,
      root: this.#root?.commit.cid,
      version: this.#root?.root.version,
      online: this.#online,
      lastError: this.#lastError,
      conflicts: this.#conflicts.all,
      totals: this.#totals.all,
      last: this.#totals.last,
    };
  }

  /** How long publishing this many bytes takes; undefined while nothing moves or the rate is unknown. */
  etaMs(bytes: number): number | undefined {
    return this.#throughput.etaMs(bytes);
  }

  /** Publishes changes, or adopts a newer root if there are none. Never rejects. */
  flush(): Promise<FlushEnd> {
    this.#notice = undefined;
    // Also while paused: a collection must not take what merging the changes needs.
    if (this.#options.writer !== undefined) this.#standOnBases();
    return this.#queued(() => this.#publishDirty());
  }

  /** The root may have moved: publishes the waiting epoch, if any, then adopts the root. Never rejects. */
  rootMoved(): Promise<FlushEnd> {
    this.#noticedMs = this.#options.clock.monotonicMs();
    const notice = (this.#notice ??= this.#queued(async () => {
      if (this.#notice === notice) this.#notice = undefined;
      if (this.#held.isHeld) return this.#publishDirty();
      return this.#noticedMs < this.#swapMs ? DONE : this.#catchUp();
    }));
    return notice;
  }

  #queued(work: () => Promise<FlushEnd>): Promise<FlushEnd> {
    const begun = () => (this.#options.paused?.() === undefined ? work() : DONE);
    const result = this.#tail.then(begun).catch((error: unknown) => this.#failed(error));
    this.#tail = result;
    return result;
  }

  async #publishDirty(): Promise<FlushEnd> {
    const { writer } = this.#options;
    if (writer === undefined) return this.#catchUp();
    const attempt = await this.#attempt(writer, () => this.#held.seal());
    if (attempt !== undefined)
      return this.#held.waitsForRoom ? this.#withoutRoom(writer, attempt) : this.#conclude(attempt);
    this.#older = [];
    this.#leaveBases();
    return this.#catchUp();
  }

  /** The bucket has no room for all changes: publishes removals alone, or at least adopts what others published. */
  async #withoutRoom(author: RenewableWriter, all: Attempt): Promise<FlushEnd> {
    const { bucket } = this.#options;
    const refused = await this.#conclude(all);
    const { units } = await bucket.policy((await this.#readRoot()).commit);
    const removals = await this.#attempt(author, () => this.#held.sealRemovals(units));
    if (removals === undefined) await this.#adopt();
    else if (removals.outcome.kind === "published") await this.#settle(removals, removals.outcome);
    else if (!this.#held.waitsForRoom) return this.#conclude(removals);
    return refused;
  }

  /** Undefined when nothing changed. Afterwards nothing refers to the epoch's objects: the outcome is packed. */
  async #attempt(author: RenewableWriter, seal: () => Promise<ChangeSet | undefined>): Promise<Attempt | undefined> {
    const { bucket, overlay, data, clock, random, log, merge } = this.#options;
    const changes = await seal();
    if (changes === undefined) return undefined;
    const context = { bucket, clock, random, log, ...(merge === undefined ? {} : { merge }) };
    const begun = { objects: changes.objects.length };
    this.#standOnBases();
    const isLarge = begun.objects > LARGE_EPOCH_OBJECTS;
    if (isLarge) this.#options.releaseMemory("now");
    const sending = (sent: SentCommit) => {
      this.#held.sending();
      return overlay.sending(changes.epoch, sent);
    };
    const options = { adopted: this.#base.commit, contended: this.#contended, sending };
    const counted = new CountedReader(data, this.#throughput, {
      check: () => {
        const paused = this.#options.paused?.();
        if (paused !== undefined) throw paused;
      },
      // Takes long for very many objects.
      readMuch: () => void (isLarge || this.#options.releaseMemory("on the way")),
    });
    this.#throughput.begin();
    const publish = (writer: Writer) => {
      this.#held.begun();
      return publishEpoch({ ...context, writer }, changes, counted, options);
    };
    const outcome = encoded(await author.as(publish).finally(() => this.#throughput.end()));
    await this.#held.tried(outcome);
    return { ...begun, outcome, movedBytes: Math.max(counted.bytes, outcome.figures.uploadedBytes) };
  }

  async #conclude(attempt: Attempt): Promise<FlushEnd> {
    const { outcome } = attempt;
    if (outcome.kind !== "published") this.#totals.add(outcome);
    switch (outcome.kind) {
      case "published":
        await this.#settle(attempt, outcome);
        this.#leaveBases();
        this.#reached();
        return DONE;
      case "queued":
        this.#contended = true;
        this.#lastError = new SynclineError(
          "root_moved",
          "Other writers kept publishing first. The epoch is kept and will be retried.",
          { hint: "`syncline flush` retries at once." },
        );
        return this.#again();
      case "unreachable":
        return this.#failed(outcome.cause);
      case "foreign":
        return this.#failed(outcome.cause);
      case "rolled_back":
        return this.#failed(rootRolledBack(outcome.root));
      case "device_reused":
        this.#options.log.warn("The bucket holds a later epoch of this device. Switching to a new device key.", {
          epoch: outcome.epoch,
        });
        await this.#options.writer?.replace();
        this.#options.heldBase?.replaced();
        return { again: true, afterMs: 0 };
    }
  }

  async #settle({ objects, movedBytes }: Attempt, published: PublishedOutcome): Promise<void> {
    const { bucket, overlay } = this.#options;
    this.#totals.add(published);
    if (objects > LARGE_EPOCH_OBJECTS) this.#options.releaseMemory("now");
    await overlay.published(published.epoch);
    this.#held.published();
    this.#contended = published.contended;
    this.#swapMs = published.swapMs;
    this.#base = baseRootOf(published.epoch.base);
    this.#older = await overlay.olderBases();
    this.#root = { root: published.root, commit: await bucket.commit(published.epoch.base.commit) };
    await this.#conflicts.remember(published.conflicts, bucket, this.#root.commit);
    await this.#conflicts.settle(bucket, this.#root.commit.cid);
    this.#garbage.left(movedBytes, objects);
  }

  #standOnBases(): void {
    this.#options.heldBase?.stand([...this.#older, this.#base]);
  }

  /** What was sealed is published. Other changes may still need older bases. */
  #leaveBases(): void {
    if (this.#older.length === 0) this.#options.heldBase?.leave();
    else this.#standOnBases();
  }

  async #catchUp(): Promise<FlushEnd> {
    if (this.#options.fixed) return DONE;
    await this.#adopt();
    this.#reached();
    return DONE;
  }

  async #readRoot(): Promise<CurrentRoot> {
    const { bucket } = this.#options;
    const current = await bucket.current();
    if (current === undefined) throw await bucket.gone();
    return current;
  }

  /** Adopts the current root, if it is a newer one that descends from ours. */
  async #adopt(): Promise<void> {
    const { bucket, overlay } = this.#options;
    const current = await this.#readRoot();
    this.#root = current;
    if (current.commit.cid !== this.#base.commit) {
      const base = await changesTo(bucket, this.#nodes, this.#base, current.commit);
      // Otherwise the rest of a unit would be theirs: instead a flush is due, which merges the whole unit.
      const stands =
        (await overlay.adopt(base, "any")) || (await overlay.adopt(base, (await bucket.policy(current.commit)).units));
      if (stands) {
        this.#base = baseRootOf(base);
        this.#older = await overlay.olderBases();
      }
    }
    await this.#conflicts.settle(bucket, current.commit.cid);
  }

  #reached(): void {
    if (!this.#online) this.#options.log.info("The bucket is reachable again.");
    this.#online = true;
    this.#lastError = undefined;
    this.#retryMs = RECONNECT_FIRST_MS;
  }

  #failed(error: unknown): FlushEnd {
    const known = this.#explained(
      error instanceof SynclineError ? error : new SynclineError("internal", String(error), { cause: error }),
    );
    if (known.code === "paused") return DONE;
    if (this.#lastError?.message !== known.message) this.#options.log.warn(`Not published: ${describeError(error)}`);
    if (UNREACHABLE.has(known.code)) this.#online = false;
    this.#lastError = known;
    return this.#again();
  }

  #explained(error: SynclineError): SynclineError {
    const isUnder = error.code === "root_rolled_back" && this.#held.isHeld;
    return isUnder ? rolledBackUnder(error, this.#options.accepted === true) : error;
  }

  #again(): FlushEnd {
    const afterMs = this.#retryMs * (0.5 + this.#options.random.fraction() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, RECONNECT_MAX_MS);
    return { again: true, afterMs };
  }
}

type PublishedOutcome = Extract<EncodedOutcome, { readonly kind: "published" }>;

/** How far publishing one epoch came. */
interface Attempt {
  readonly objects: number;
  readonly outcome: EncodedOutcome;
  /** Bytes uploaded, or read to find that the bucket has them. */
  readonly movedBytes: number;
}

function baseRootOf({ commit, tree, seq }: { commit: Cid; tree: Cid; seq: Lamport }): BaseRoot {
  return { commit, tree, seq };
}
