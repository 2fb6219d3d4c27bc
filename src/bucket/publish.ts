/**
 * Publishes a sealed epoch: reads the root, merges if it moved, uploads, swaps, retries if others were faster. Returns an
 * outcome; the caller keeps the epoch until "published". An epoch whose tree the root already has needs no commit.
 */
import { hasCode, SynclineError } from "../base/errors.ts";
import type { Cid } from "../base/ids.ts";
import { NOTED_BESIDE_BYTES, PUBLISH_ATTEMPTS, PUBLISH_NODE_CACHE_BYTES } from "../base/limits.ts";
import { NodeStore } from "../tree/node-store.ts";
import type { Ports } from "../base/ports.ts";
import type { Bucket, CurrentRoot } from "./bucket.ts";
import type { VerifiedCommit } from "./verified-commit.ts";
import type { ChangeSet, DataReader, SentCommit } from "../fstree/change-set.ts";
import { descends, isRetained } from "./history.ts";
import { mergeSnapshots } from "../fstree/merge/merge-snapshots.ts";
import { commitRoots, hasPolicy, makeCommit, policyAfter } from "./publish/next-commit.ts";
import type { PolicyChange, Writer } from "./publish/next-commit.ts";
import { FigureCounter, type PublishOutcome, WAITING } from "./publish/outcome.ts";
import { ownEpoch } from "./publish/own-epoch.ts";
import { BUSY_COMMITS, Backoff } from "./publish/backoff.ts";
import { reportTornFiles } from "./publish/torn-files.ts";
import { isRolledBack } from "./publish/rolled-back.ts";
import { contentsApart, hasContentsApart, publishedEpoch } from "./publish/published-epoch.ts";
import { type EpochTree, type MergeSnapshots, Workspace } from "./publish/workspace.ts";
import type { SwapOutcome } from "../roots/root-store.ts";
import type { PreparedSwap, UploadSession } from "./remote.ts";

export interface PublishContext extends Ports {
  readonly bucket: Bucket;
  readonly writer: Writer;
  readonly merge?: MergeSnapshots;
}

export interface PublishOptions {
  /** The root that the overlay adopted last, if newer than the reference: it must not be rolled back either. */
  readonly adopted?: Cid;
  /** Other writers won over this writer's last epoch: this one joins their line from the start. */
  readonly contended?: boolean;
  /** The first abandoned epoch that a late request may still publish. If the root has it: "device_reused". */
  readonly late?: number | undefined;
  /** A root that the bucket has lost: its tree is published, as changes to the epoch's reference. */
  readonly recovers?: VerifiedCommit;
  /** A person approved the deletions in it. */
  readonly approved?: boolean;
  /** For people: what made this commit. */
  readonly note?: string;
  /** Notes durably, before its swap is sent, that this commit may come to be in the bucket: see `ChangeSet.sent`. */
  readonly sending?: (sent: SentCommit) => Promise<void>;
  /** Commits whose contents the epoch reuses without reading them: the root must retain them. */
  readonly sources?: readonly VerifiedCommit[];
  /** Makes the new commit's policy from its parent's, whichever writer set that. */
  readonly policy?: PolicyChange;
}

/**
 * Publishes the epoch. Throws only errors that are neither an outcome nor passed by waiting: damage (`block_corrupt`,
 * `block_not_found`, `format_invalid`), `feature_unknown`, and what `data` throws (`paused`).
 */
export async function publishEpoch(
  context: PublishContext,
  changes: ChangeSet,
  data: DataReader,
  options: PublishOptions = {},
): Promise<PublishOutcome> {
  await using publication = new Publication(context, changes, data, options);
  return await publication.run(); // Returned as a promise it would be disposed of before it began.
}

/** A commit that is ready to be swapped in. */
interface Prepared {
  readonly commit: VerifiedCommit;
  readonly swap: PreparedSwap;
  readonly on: CurrentRoot;
  readonly epochTree: EpochTree;
}

class Publication implements AsyncDisposable {
  readonly #context: PublishContext;
  readonly #changes: ChangeSet;
  readonly #data: DataReader;
  readonly #options: PublishOptions;
  readonly #counter = new FigureCounter();
  /** Commits whose swap got no clear answer: any of them may be in the history by now. */
  readonly #unsure: Prepared[] = [];
  /** All that were noted, also by earlier processes. */
  readonly #sent: SentCommit[];
  readonly #pacing: Backoff;
  #session: UploadSession | undefined;
  /** Whether the caller will publish the epoch again. */
  #isWaiting = false;
  #workspace: Workspace | undefined;

  constructor(context: PublishContext, changes: ChangeSet, data: DataReader, options: PublishOptions) {
    this.#context = context;
    this.#changes = changes;
    this.#data = data;
    this.#options = options;
    this.#sent = [...(changes.sent ?? [])];
    this.#pacing = new Backoff(context.bucket.remote, context.clock, context.random);
  }

  async run(): Promise<PublishOutcome> {
    try {
      const outcome = await this.#outcome();
      this.#isWaiting = outcome.kind === "unreachable" || outcome.kind === "queued";
      return outcome;
    } catch (error) {
      this.#isWaiting = hasCode(error, "paused");
      throw error;
    }
  }

  async #outcome(): Promise<PublishOutcome> {
    try {
      return await this.#attempts();
    } catch (error) {
      if (hasCode(error, "foreign_bucket")) return { kind: "foreign", cause: error, figures: this.#figures() };
      if (error instanceof SynclineError && WAITING.has(error.code))
        return { kind: "unreachable", cause: error, figures: this.#figures() };
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pacing[Symbol.dispose]();
    await (this.#isWaiting ? this.#suspend() : this.#forget());
  }

  async #attempts(): Promise<PublishOutcome> {
    for (let attempt = 0; attempt < PUBLISH_ATTEMPTS; attempt++) {
      if (attempt > 0) await this.#pacing.again(attempt);
      const startMs = this.#context.clock.monotonicMs();
      const current = attempt === 0 ? await this.#firstRoot() : await this.#readRoot();
      const stop = await this.#check(current);
      if (stop !== undefined) return stop;
      const prepared = await this.#prepare(current);
      if (prepared === undefined) continue;
      if ("kind" in prepared) return prepared;
      const won = await this.#swap(prepared);
      if (won !== undefined) return won;
      this.#pacing.note(this.#context.clock.monotonicMs() - startMs);
    }
    return { kind: "queued", isUnsure: false, figures: this.#figures() };
  }

  /** The outcome if this root forbids publishing or already has the epoch. */
  async #check(current: CurrentRoot): Promise<PublishOutcome | undefined> {
    const { commit } = current;
    const { epoch } = this.#changes;
    await this.#checkSources(commit);
    if (await this.#isRolledBack(current)) return { kind: "rolled_back", root: commit.cid, figures: this.#figures() };
    const included = await this.#context.bucket.heads.epochOf(commit.body, this.#context.writer.device.writer);
    if (included < (this.#options.late ?? epoch)) return undefined;
    const won = await this.#wonUnseen(current);
    if (won !== undefined) return this.#published(current, won.epochTree);
    const own = included < epoch ? undefined : await this.#ownEpoch(current);
    if (own !== undefined) return this.#published(current, own);
    return { kind: "device_reused", epoch: included, figures: this.#figures() };
  }

  async #checkSources(head: VerifiedCommit): Promise<void> {
    const nodes = new NodeStore(this.#context.bucket.blocks, { capacityBytes: PUBLISH_NODE_CACHE_BYTES });
    for (const { cid, body } of this.#options.sources ?? []) {
      if (await isRetained(nodes, head, { cid, seq: body.seq })) continue;
      throw new SynclineError("no_such_root", `The bucket no longer retains ${cid}.`, {
        hint: "`syncline log` lists the retained roots.",
      });
    }
  }

  #isRolledBack({ commit }: CurrentRoot): Promise<boolean> {
    const seen = [this.#changes.reference, this.#options.adopted ?? this.#changes.reference];
    return isRolledBack(this.#context.bucket, commit, this.#changes, seen, () => this.#begin().workspace.nodes);
  }

  /** An unanswered swap that did take place, by the root's history. */
  async #wonUnseen({ commit }: CurrentRoot): Promise<Prepared | undefined> {
    for (const prepared of this.#unsure) {
      const { cid, body } = prepared.commit;
      if ((await descends(this.#context.bucket, commit, { cid, seq: body.seq })) === "yes") return prepared;
    }
    return undefined;
  }

  /** The epoch as it was published before, if it was, as far as the history and the notes of swaps tell. */
  #ownEpoch({ commit }: CurrentRoot): Promise<EpochTree | undefined> {
    const { bucket, writer } = this.#context;
    const workspace = (this.#workspace ??= this.#newWorkspace(undefined));
    const apart = (changes: ChangeSet) => this.#newWorkspace(undefined, changes);
    const noted = { sent: this.#sent, changes: this.#changes };
    return ownEpoch({ bucket, writer: writer.device.writer, workspace, apart, ...noted }, commit);
  }

  /** Undefined: blocks that it needs were collected, so begin anew. An outcome: nothing is left to publish. */
  async #prepare(current: CurrentRoot): Promise<Prepared | PublishOutcome | undefined> {
    const { bucket, writer, clock } = this.#context;
    const { session, workspace } = this.#begin();
    try {
      const epochTree = await workspace.treeOn(current.commit);
      const { nodes, staging } = workspace;
      reportTornFiles(this.#context.log, epochTree);
      const policy = await policyAfter(bucket, current.commit, this.#options.policy, staging);
      const isAlike = epochTree.tree === current.commit.body.tree && hasPolicy(current.commit, policy);
      if (isAlike && this.#options.recovers === undefined && !(await hasContentsApart(epochTree)))
        return await this.#published(current, epochTree);
      const { commit, verified } = await makeCommit(bucket, nodes, staging, current.commit, writer, {
        tree: epochTree.tree,
        epoch: this.#changes.epoch,
        timeNs: clock.nowNs(),
        note: this.#options.note ?? "",
        approved: this.#options.approved ?? false,
        recovered: this.#options.recovers,
        policy,
      });
      const blocks = staging.reachable([...commitRoots(commit), ...contentsApart(epochTree)]);
      const note = () => this.#note({ commit: commit.cid, seq: commit.body.seq });
      // Takes a sync of a disk. After a large upload that costs little, and if the upload fails, nothing is in doubt.
      const noted = staging.contentBytes < NOTED_BESIDE_BYTES ? note() : undefined;
      const swap = await session.prepare(current.root, { commit, blocks });
      await (noted ?? note());
      this.#counter.addUpload(swap.uploaded);
      return { commit: verified, swap, on: current, epochTree };
    } catch (error) {
      const moved = hasCode(error, "block_not_found") && (await this.#readRoot()).commit.cid !== current.commit.cid;
      if (!moved && !hasCode(error, "root_moved")) throw error;
      await this.#forget();
      return undefined;
    }
  }

  #note(sent: SentCommit): Promise<void> {
    this.#sent.push(sent);
    const noted = this.#options.sending?.(sent) ?? Promise.resolve();
    // If the upload fails first, nothing is sent.
    noted.catch(() => {});
    return noted;
  }

  /** Sends the swap, again while its outcome is unknown and the root stands. Undefined: another writer was faster. */
  async #swap(prepared: Prepared): Promise<PublishOutcome | undefined> {
    const swapMs = this.#context.clock.monotonicMs();
    for (let sent = 0; sent < PUBLISH_ATTEMPTS; sent++) {
      if (sent > 0) await this.#pacing.backOff(sent);
      this.#counter.attempts++;
      const outcome = await this.#sendSwap(prepared);
      if (outcome === undefined) return undefined;
      if (outcome.kind === "committed") {
        // The next writer may continue while we check the outcome.
        this.#pacing[Symbol.dispose]();
        this.#context.bucket.remember(prepared.commit);
        return this.#published({ root: outcome.root, commit: prepared.commit }, prepared.epochTree, swapMs);
      }
      if (outcome.kind === "conflict") return undefined;
      if (!this.#unsure.includes(prepared)) this.#unsure.push(prepared);
      this.#context.log.warn("A swap got no answer.", { commit: prepared.commit.cid, sent: sent + 1 });
      const current = await this.#readRoot();
      if (current.commit.cid !== prepared.on.commit.cid) return undefined;
    }
    return { kind: "queued", isUnsure: true, figures: this.#figures() };
  }

  /** Undefined: the store has lost blocks of this upload, so begin anew. */
  async #sendSwap(prepared: Prepared): Promise<SwapOutcome | undefined> {
    try {
      return await prepared.swap.swap();
    } catch (error) {
      if (!hasCode(error, "root_moved")) throw error;
      await this.#forget();
      return undefined;
    }
  }

  async #published({ commit, root }: CurrentRoot, epochTree: EpochTree, swapMs = -Infinity): Promise<PublishOutcome> {
    const { conflicts } = epochTree;
    this.#context.bucket.noteRoot(commit);
    const epoch = await publishedEpoch(this.#context.bucket, this.#changes.epoch, commit, epochTree);
    const contended = commit.body.seq > this.#changes.lamport || this.#pacing.waited;
    return { kind: "published", epoch, root, conflicts, contended, swapMs, figures: this.#figures() };
  }

  /** The root to begin with. Where others publish all the time, waits in line first. */
  async #firstRoot(): Promise<CurrentRoot> {
    // Others replace the present root before our turn anyway; the turn checks the root that it finds.
    const current = this.#options.contended === true ? undefined : await this.#readRoot();
    if (current !== undefined && (!this.#isBusy(current) || (await this.#check(current)) !== undefined)) return current;
    // Others wait during our turn: first do what needs none.
    await this.#buildAhead();
    return (await this.#pacing.takeTurn()) || current === undefined ? this.#readRoot() : current;
  }

  #isBusy({ commit }: CurrentRoot): boolean {
    return commit.body.seq + 1 - this.#changes.lamport >= BUSY_COMMITS;
  }

  /** Cuts contents and sends them. An error here occurs again in the attempt, which reports it. */
  async #buildAhead(): Promise<void> {
    const { workspace } = this.#begin();
    await workspace.build().catch(() => this.#suspend());
  }

  async #readRoot(): Promise<CurrentRoot> {
    const { bucket } = this.#context;
    const told = this.#pacing.takeRoot();
    const current = told === undefined ? await bucket.current() : await bucket.at(told);
    if (current !== undefined) return current;
    throw await bucket.gone();
  }

  #begin(): { readonly session: UploadSession; readonly workspace: Workspace } {
    const session = (this.#session ??= this.#context.bucket.remote.beginUpload());
    return { session, workspace: (this.#workspace ??= this.#newWorkspace(session)) };
  }

  #newWorkspace(session: UploadSession | undefined, changes = this.#changes): Workspace {
    const { bucket, writer, merge = mergeSnapshots } = this.#context;
    const { device } = writer;
    return new Workspace(bucket, session, merge, device.writer, changes, this.#data, this.#options.recovers);
  }

  /** Lets the next session go on with the packs stored so far. If they may be in the history, it must not: they would be listed twice. */
  async #suspend(): Promise<void> {
    if (this.#session?.suspend === undefined || this.#unsure.length > 0) return this.#forget();
    await this.#end((session) => session.suspend?.());
  }

  #forget(): Promise<void> {
    return this.#end((session) => session[Symbol.asyncDispose]());
  }

  async #end(how: (session: UploadSession) => PromiseLike<void> | undefined): Promise<void> {
    const session = this.#session;
    this.#counter.blocksRead += this.#workspace?.staging.blocksRead ?? 0;
    this.#session = undefined;
    this.#workspace = undefined;
    if (session !== undefined) await how(session);
  }

  #figures() {
    const figures = this.#counter.figures();
    return { ...figures, blocksRead: figures.blocksRead + (this.#workspace?.staging.blocksRead ?? 0) };
  }
}
