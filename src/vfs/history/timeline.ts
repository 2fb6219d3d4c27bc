/** The roots that the bucket retains, newest first, and what each changed. Read on demand, a batch at a time. */
import { BoundedMap } from "../../base/bounded-map.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { commitIfThere, keptCommits, log, type Commits } from "../../bucket/history.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { BlockReader } from "../../blocks/block-store.ts";
import { isGone } from "../../blocks/not-found.ts";
import { differences, MAX_LISTED_CHANGES } from "../../fstree/differences.ts";
import { readBackrefs, readSelf } from "../../fstree/fs-reader.ts";
import { NodeStore } from "../../tree/node-store.ts";

export interface PastRoot {
  readonly commit: Cid;
  readonly tree: Cid;
  readonly timeNs: bigint;
}

export interface RootChanges {
  /** The directories with a change in them, at any depth. Undefined: too much changed to tell. */
  readonly directories: ReadonlySet<FileId> | undefined;
  /** Names that directories lost. */
  readonly removed: ReadonlyMap<FileId, readonly FileName[]>;
}

export type HistoryCommits = Commits & { readonly blocks: BlockReader };

/** Commits read concurrently. */
const COMMITS_AT_ONCE = 16;
/** Roots that are looked at; the default retention keeps fewer than 3,000. */
const MOST_ROOTS = 10_000;
/** A bounded map holds at least half of its capacity. */
const REMEMBERED_ROOTS = 2 * MOST_ROOTS;
/** Directories and names in remembered changes: some 10 MB. */
const REMEMBERED_CHANGES = 100_000;
const NODE_BYTES = 4 * 1024 * 1024;

export class Timeline {
  readonly nodes: NodeStore;
  readonly #commits: HistoryCommits;
  readonly #mostChanges: number;
  readonly #known = new BoundedMap<Cid, PastRoot>(REMEMBERED_ROOTS);
  readonly #changes = new Map<string, RootChanges>();
  #changesSize = 0;
  #chain: Chain | undefined;

  /** A root that changed more than `mostChanges` rows counts as a change of every directory. */
  constructor(commits: HistoryCommits, mostChanges = MAX_LISTED_CHANGES) {
    this.#commits = commits;
    this.#mostChanges = mostChanges;
    this.nodes = new NodeStore(commits.blocks, { capacityBytes: NODE_BYTES });
  }

  /** The roots that `head` retains, itself first. */
  chain(head: Cid): Chain {
    if (this.#chain?.head !== head)
      this.#chain = new Chain(
        head,
        (cids) => this.#roots(cids),
        () => this.#retained(head),
      );
    return this.#chain;
  }

  /** A root, if it is in memory. */
  known(commit: Cid): PastRoot | undefined {
    return this.#known.get(commit);
  }

  /** Rejects with `block_not_found` if the root is not retained any more. */
  async root(commit: Cid): Promise<PastRoot> {
    return this.#known.get(commit) ?? this.#note(await this.#commits.commit(commit));
  }

  async changes(older: PastRoot, newer: PastRoot): Promise<RootChanges> {
    if (older.tree === newer.tree) return NO_CHANGES;
    const key = `${older.tree} ${newer.tree}`;
    const known = this.#changes.get(key);
    if (known !== undefined) return known;
    const found = await this.#compare(older.tree, newer.tree);
    this.#changes.set(key, found);
    this.#changesSize += sizeOf(found);
    for (const [oldest, { directories, removed }] of this.#changes) {
      if (this.#changesSize <= REMEMBERED_CHANGES) break;
      this.#changes.delete(oldest);
      this.#changesSize -= sizeOf({ directories, removed });
    }
    return found;
  }

  #note({ cid, body }: VerifiedCommit): PastRoot {
    const root = { commit: cid, tree: body.tree, timeNs: body.timeNs };
    this.#known.set(cid, root);
    return root;
  }

  async #compare(older: Cid, newer: Cid): Promise<RootChanges> {
    const changes = await differences(this.nodes, older, newer, this.#mostChanges);
    if (changes === undefined) return { directories: undefined, removed: new Map() };
    const directories = new Set<FileId>();
    const removed = new Map<FileId, FileName[]>();
    for (const change of changes) {
      if (change.kind === "self") {
        await this.#mark(change.id, [newer, older], directories);
        continue;
      }
      const { parent, name, before, after } = change;
      await this.#mark(parent, [newer, older], directories);
      if (before === undefined || after !== undefined) continue;
      removed.set(parent, [...(removed.get(parent) ?? []), name]);
    }
    return { directories, removed };
  }

  /** Marks an object's directories, up to the root directory. */
  async #mark(id: FileId, trees: readonly Cid[], marked: Set<FileId>): Promise<void> {
    if (marked.has(id)) return;
    for (const tree of trees) {
      const self = await readSelf(this.nodes, tree, id);
      if (self === undefined) continue;
      if (self.kind === "directory") {
        marked.add(id);
        if (self.place !== undefined) await this.#mark(self.place.parent, trees, marked);
      } else {
        for (const { parent } of await readBackrefs(this.nodes, tree, id)) await this.#mark(parent, trees, marked);
      }
      return;
    }
  }

  async #retained(head: Cid): Promise<readonly Cid[]> {
    const commit = await this.#commits.commit(head);
    const cids: Cid[] = [];
    try {
      for await (const { cid } of keptCommits(this.nodes, commit)) cids.push(cid);
    } catch (error) {
      if (!isGone(error)) throw error;
      // Part of the list of retained roots cannot be read: follows parents there.
      cids.length = 0;
      for await (const { cid } of log(this.#commits, commit)) cids.unshift(cid);
      cids.pop();
    }
    return [head, ...cids.reverse()];
  }

  /** Leaves out roots that are lost, damaged, or thinned out since. */
  async #roots(cids: readonly Cid[]): Promise<PastRoot[]> {
    const roots = await mapConcurrent(cids, COMMITS_AT_ONCE, async (cid) => {
      const known = this.#known.get(cid);
      const commit = known === undefined ? await commitIfThere(this.#commits, cid) : undefined;
      return commit === undefined ? known : this.#note(commit);
    });
    return roots.filter((root) => root !== undefined);
  }
}

/** The roots before one root, as far as they were read. */
export class Chain {
  readonly head: Cid;
  readonly roots: PastRoot[] = [];
  readonly #read: (cids: readonly Cid[]) => Promise<PastRoot[]>;
  readonly #list: () => Promise<readonly Cid[]>;
  #cids: readonly Cid[] | undefined;
  #tried = 0;
  #isComplete = false;
  #reading: Promise<void> | undefined;

  constructor(head: Cid, read: (cids: readonly Cid[]) => Promise<PastRoot[]>, list: () => Promise<readonly Cid[]>) {
    this.head = head;
    this.#read = read;
    this.#list = list;
  }

  /** Whether all roots were read: those that are retained, at most MOST_ROOTS. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Reads some more roots. Rejects as reading does; a later call tries again. */
  extend(): Promise<void> {
    this.#reading ??= this.#extend().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #extend(): Promise<void> {
    this.#cids ??= (await this.#list()).slice(0, MOST_ROOTS);
    const wanted = this.#cids.slice(this.#tried, this.#tried + BATCH);
    this.roots.push(...(await this.#read(wanted)));
    this.#tried += wanted.length;
    this.#isComplete = this.#tried === this.#cids.length;
  }
}

const BATCH = 64;

const NO_CHANGES: RootChanges = { directories: new Set(), removed: new Map() };

function sizeOf({ directories, removed }: RootChanges): number {
  let size = 1 + (directories?.size ?? 0);
  for (const names of removed.values()) size += names.length;
  return size;
}
