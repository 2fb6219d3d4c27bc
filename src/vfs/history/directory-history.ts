/** What `ls .history` shows: the states in which a directory differed from before, and the last version of each name it lost. */
import type { Clock } from "../../base/clock.ts";
import { mapConcurrent } from "../../base/concurrency.ts";
import type { Cid, FileId, FileName } from "../../base/ids.ts";
import { MAX_NAME_BYTES } from "../../base/limits.ts";
import { isGone } from "../../blocks/not-found.ts";
import { listDirectory, objectOf, readDentry, readSelf } from "../../fstree/fs-reader.ts";
import { dentryType, type Dentry } from "../../format/files/rows.ts";
import type { FileRecord } from "../../format/files/record.ts";
import { throughDirectory } from "./through-directory.ts";
import { timeName } from "./time-names.ts";
import type { Chain, PastRoot, RootChanges, Timeline } from "./timeline.ts";

export interface PastEntry {
  /** The name in `.history`. */
  readonly name: FileName;
  readonly root: PastRoot;
  /** The name that the directory lost, and its dentry. Undefined: the entry is the directory itself. */
  readonly lost: { readonly name: FileName; readonly dentry: Dentry } | undefined;
  readonly record: FileRecord;
  readonly nlink: number;
}

/** Concurrent comparisons of two roots. */
const PAIRS_AT_ONCE = 8;
const BATCH = 32;
/** The most lost names shown. Older ones are found in the states. */
const MOST_LOST = 1_000;

export class DirectoryHistory {
  readonly #timeline: Timeline;
  readonly #chain: Chain;
  readonly #directory: FileId;
  readonly #oneOwner: boolean;
  readonly #states: PastEntry[] = [];
  readonly #lost = new Map<FileName, PastEntry>();
  readonly #seen = new Set<string>();
  #compared = 0;
  #isComplete = false;
  #isReady = false;
  #running: Promise<void> | undefined;
  #sorted: readonly PastEntry[] | undefined;

  /** `oneOwner`: see throughDirectory. */
  constructor(timeline: Timeline, chain: Chain, directory: FileId, oneOwner: boolean) {
    this.#timeline = timeline;
    this.#chain = chain;
    this.#directory = directory;
    this.#oneOwner = oneOwner;
  }

  /** The root whose retained roots this describes. */
  get head(): Cid {
    return this.#chain.head;
  }

  /** Whether `find` has resolved. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** What was found so far, by name. */
  entries(): readonly PastEntry[] {
    this.#sorted ??= [...this.#states, ...this.#lost.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.#sorted;
  }

  /**
   * Searches for `patienceMs`. False: the search goes on in the background, and `onEnd` is called at its end. Rejects as
   * reading does; a later call continues the search.
   */
  async find(clock: Clock, patienceMs: number, onEnd: (error?: unknown) => void): Promise<boolean> {
    this.#running ??= this.#findAll().finally(() => {
      this.#running = undefined;
    });
    const running = this.#running;
    const before = this.#compared;
    let isDone = false;
    // Waits for a first batch: a bucket that does not answer is an error, not an empty list.
    while (!isDone && this.#compared === before) isDone = await endsWithin(running, clock, patienceMs);
    this.#isReady = true;
    const onError = (error: unknown) => {
      this.#isReady = false;
      onEnd(error);
    };
    if (!isDone) running.then(() => onEnd(), onError);
    return isDone;
  }

  async #findAll(): Promise<void> {
    while (!this.#isComplete) {
      const { roots } = this.#chain;
      // Each root is compared with the one before it.
      if (roots.length < this.#compared + BATCH + 1 && !this.#chain.isComplete) {
        await this.#chain.extend();
        continue;
      }
      const from = this.#compared;
      const batch = roots.slice(from, from + BATCH).map((root, at) => ({ root, before: roots[from + at + 1] }));
      const found = await mapConcurrent(batch, PAIRS_AT_ONCE, ({ root, before }) => this.#look(root, before));
      for (const each of found) this.#add(each);
      this.#compared += batch.length;
      this.#isComplete = this.#chain.isComplete && this.#compared >= roots.length;
      this.#sorted = undefined;
    }
  }

  #add({ state, lost }: Found): void {
    if (state !== undefined && !this.#seen.has(state.name)) this.#states.push(state);
    // Of two roots in one millisecond, the newer one has the name.
    if (state !== undefined) this.#seen.add(state.name);
    for (const entry of lost) {
      const name = entry.lost?.name;
      if (name !== undefined && !this.#lost.has(name) && this.#lost.size < MOST_LOST) this.#lost.set(name, entry);
    }
  }

  /** Whether the root changed the directory, and what the directory lost with it. */
  async #look(root: PastRoot, before: PastRoot | undefined): Promise<Found> {
    try {
      const changes = before && (await this.#timeline.changes(before, root));
      if (changes?.directories?.has(this.#directory) === false) return NOTHING;
      const lost = before && changes && (await this.#lostSince(before, await this.#namesLost(before, root, changes)));
      return { state: await this.#stateAt(root), lost: lost ?? [] };
    } catch (error) {
      // Thinned out meanwhile, or damaged.
      if (isGone(error)) return NOTHING;
      throw error;
    }
  }

  async #stateAt(root: PastRoot): Promise<PastEntry | undefined> {
    const self = await readSelf(this.#timeline.nodes, root.tree, this.#directory);
    if (self?.kind !== "directory") return undefined;
    const name = timeName(root.timeNs) as FileName;
    return { name, root, lost: undefined, record: self.record, nlink: 2 + self.subdirs };
  }

  async #namesLost(before: PastRoot, root: PastRoot, { directories, removed }: RootChanges) {
    if (directories !== undefined) return removed.get(this.#directory) ?? [];
    const { nodes } = this.#timeline;
    const kept = new Set<FileName>();
    for await (const { name } of listDirectory(nodes, root.tree, this.#directory)) kept.add(name);
    const lost: FileName[] = [];
    for await (const { name } of listDirectory(nodes, before.tree, this.#directory))
      if (!kept.has(name)) lost.push(name);
    return lost;
  }

  async #lostSince(root: PastRoot, names: readonly FileName[]): Promise<PastEntry[]> {
    const { nodes } = this.#timeline;
    const entries: PastEntry[] = [];
    const directory = names.length === 0 ? undefined : await readSelf(nodes, root.tree, this.#directory);
    if (directory === undefined) return entries;
    for (const name of names.slice(0, MOST_LOST)) {
      const place = { parent: this.#directory, name };
      const shown = `${name}@${timeName(root.timeNs)}` as FileName;
      const dentry = await readDentry(nodes, root.tree, place);
      if (dentry === undefined || shown.length > MAX_NAME_BYTES) continue;
      const { record: own, names: all, subdirs } = await objectOf(nodes, root.tree, place, dentry);
      const record = throughDirectory(own, directory.record, this.#oneOwner);
      const nlink = dentryType(dentry) === "directory" ? 2 + subdirs : all.length;
      entries.push({ name: shown, root, lost: { name, dentry }, record, nlink });
    }
    return entries;
  }
}

/** Whether the work ends in time. Rejects as the work does. */
async function endsWithin(work: Promise<void>, clock: Clock, ms: number): Promise<boolean> {
  const ended = new AbortController();
  const late = clock.sleep(ms, ended.signal).then(
    () => false,
    () => true,
  );
  return Promise.race([work.then(() => true), late]).finally(() => ended.abort());
}

interface Found {
  readonly state: PastEntry | undefined;
  readonly lost: readonly PastEntry[];
}

const NOTHING: Found = { state: undefined, lost: [] };
