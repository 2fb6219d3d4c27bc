/**
 * The past of a filesystem as directories: what a `.history` lists and leads to, read-only. Calls throw BlockMiss, whose
 * addresses may name searches instead of blocks: `load` then ends when the search has found enough.
 */
import { BoundedMap } from "../../base/bounded-map.ts";
import { describeError } from "../../base/log.ts";
import type { Cid, FileId, FileName, Ino } from "../../base/ids.ts";
import type { Ports } from "../../base/ports.ts";
import { BlockMiss } from "../../blocks/block-store.ts";
import type { Attributes, DirectoryEntry, Invalidations } from "../filesystem.ts";
import { cookieOf } from "../listing.ts";
import { recordAttributes } from "../objects.ts";
import type { Loader } from "../loader.ts";
import { DirectoryHistory, type PastEntry } from "./directory-history.ts";
import type { PastNumbers, Row, State } from "./numbers.ts";
import { OldObjects, rowOf } from "./old-objects.ts";
import { namedTime } from "./time-names.ts";
import { Timeline, type HistoryCommits, type PastRoot } from "./timeline.ts";

export interface PastOptions extends Pick<Ports, "clock" | "log"> {
  readonly loader: Loader;
  readonly commits: HistoryCommits;
  readonly numbers: PastNumbers;
  /** The root that the filesystem shows, beneath changes made here. */
  readonly head: () => Cid;
  /** Whether the mount shows one owner for everything. */
  readonly oneOwner?: boolean | undefined;
  /** How long a listing may search before it shows what it has. */
  readonly patienceMs: number;
  /** A root that changed more rows than this counts as a change of every directory. */
  readonly mostChanges?: number | undefined;
}

const REMEMBERED_LISTS = 16;
/** Remembered answers that a new root may change. */
const REMEMBERED_ANSWERS = 1_024;

export class Past {
  readonly old: OldObjects;
  readonly #options: PastOptions;
  readonly #timeline: Timeline;
  readonly #lists = new BoundedMap<Ino, DirectoryHistory>(REMEMBERED_LISTS);
  readonly #searches = new Map<Cid, () => Promise<unknown>>();
  readonly #answers = new Map<string, { readonly list: Ino; readonly name: FileName | undefined }>();
  #invalidated: (changes: Invalidations) => void = () => {};
  #head: Cid;

  constructor(options: PastOptions) {
    const { loader, commits, numbers, head, mostChanges, oneOwner = false } = options;
    this.#options = options;
    this.#head = head();
    this.#timeline = new Timeline(commits, mostChanges);
    const treeOf = (commit: Cid) => {
      const root = this.#timeline.known(commit);
      if (root === undefined) throw this.#search(`root ${commit}`, () => this.#timeline.root(commit));
      return root.tree;
    };
    this.old = new OldObjects(loader, numbers, treeOf, oneOwner);
  }

  /** What a name in the `.history` of this directory leads to. */
  lookup(list: Ino, directory: FileId, name: FileName): Attributes | undefined {
    const at = name.lastIndexOf("@") + 1;
    const time = namedTime(name.slice(at));
    if (time === undefined) return undefined;
    const root = this.#rootAt(time.endNs, time.isExact);
    const isFinal = time.isExact && root !== undefined;
    if (!isFinal) this.#answered(list, name);
    if (root === undefined) return undefined;
    const { commit } = root;
    const row =
      at === 0
        ? this.old.directory(commit, directory)
        : this.old.child(commit, directory, name.slice(0, at - 1) as FileName);
    return row && this.old.attributes(this.#ino({ commit, anchor: directory, name }, row));
  }

  /** As FileSystem.readDirectory, without the dots. `isThere`: whether the directory has this name again. */
  readDirectory(
    list: Ino,
    directory: FileId,
    cookie: number,
    isThere: (name: FileName) => boolean,
    emit: (entry: DirectoryEntry) => boolean,
  ): void {
    const begins = cookie === 0;
    const entries = this.#entries(list, directory, begins);
    this.#answered(list, undefined);
    // If the cookie's name is gone, starts over: better to list an entry twice than to omit one.
    for (const entry of entries.slice(begins ? 0 : entries.findIndex(({ name }) => cookieOf(name) === cookie) + 1)) {
      if (entry.lost !== undefined && isThere(entry.lost.name)) continue;
      const attributes = this.#attributes(directory, entry);
      const { ino, mode } = attributes;
      if (!emit({ ino, name: entry.name, mode, next: cookieOf(entry.name), attributes })) return;
    }
  }

  /** Fetches what a BlockMiss asked for. Returns the addresses that are blocks. */
  async load(cids: readonly Cid[], signal?: AbortSignal): Promise<Cid[]> {
    const blocks: Cid[] = [];
    for (const cid of cids) {
      if (!cid.startsWith(SEARCH)) blocks.push(cid);
      // Another call's search for the same may have ended already.
      const search = this.#searches
        .get(cid)?.()
        .then(() => void this.#searches.delete(cid));
      if (search !== undefined) await this.#options.loader.inTime(search, signal);
    }
    return blocks;
  }

  /** The filesystem may show another root. Returns whether it does; the kernel is told what that changes. */
  moved(): boolean {
    const head = this.#options.head();
    if (head === this.#head) return false;
    this.#head = head;
    const answers = [...this.#answers.values()];
    this.#answers.clear();
    this.#invalidated(changesOf(answers));
    return true;
  }

  onInvalidate(listener: (changes: Invalidations) => void): void {
    this.#invalidated = listener;
  }

  /** The newest root up to the end of a moment. If the moment is exact, only a root of that very millisecond. */
  #rootAt(endNs: bigint, isExact: boolean): PastRoot | undefined {
    const chain = this.#timeline.chain(this.#options.head());
    // Clocks differ: a later root may have an earlier time.
    const found = chain.roots.find(({ timeNs }) => timeNs < endNs && (!isExact || timeNs >= endNs - NS_A_MS));
    if (found === undefined && !chain.isComplete) throw this.#search(`roots ${chain.head}`, () => chain.extend());
    return found;
  }

  #entries(list: Ino, directory: FileId, begins: boolean): readonly PastEntry[] {
    const head = this.#options.head();
    const known = this.#lists.get(list);
    // A listing under way goes on with the roots that it began with.
    const isUsable = known !== undefined && (known.head === head || !begins);
    const history = isUsable
      ? known
      : new DirectoryHistory(this.#timeline, this.#timeline.chain(head), directory, this.#options.oneOwner ?? false);
    if (!isUsable) this.#lists.set(list, history);
    if (!history.isReady) throw this.#search(`list ${list} ${head}`, () => this.#find(list, history));
    return history.entries();
  }

  async #find(list: Ino, history: DirectoryHistory): Promise<void> {
    const { clock, log, patienceMs } = this.#options;
    const onEnd = (error?: unknown) => {
      if (error !== undefined) log.warn("a .history shows only the newest states", { error: describeError(error) });
      this.#invalidated({ entries: [], inodes: [list], all: false });
    };
    if (await history.find(clock, patienceMs, onEnd)) return;
    log.info("A .history shows the newest states; the search for older ones goes on.", {
      states: history.entries().length,
    });
  }

  #attributes(directory: FileId, { name, root, lost, record, nlink }: PastEntry): Attributes {
    const row =
      lost === undefined ? ({ id: directory, name: undefined } as const) : rowOf(directory, lost.name, lost.dentry);
    const ino = this.#ino({ commit: root.commit, anchor: directory, name }, row);
    return recordAttributes(this.#options.loader, { ino, record, nlink, atimeNs: record.mtimeNs });
  }

  #ino(state: State, row: Row): Ino {
    const { numbers } = this.#options;
    return numbers.ino(numbers.state(state), numbers.row(row));
  }

  #search(what: string, search: () => Promise<unknown>): BlockMiss {
    const cid = (SEARCH + what) as Cid;
    this.#searches.set(cid, search);
    return new BlockMiss([cid]);
  }

  /** Notes that the kernel caches this answer: that for a name, or a listing. */
  #answered(list: Ino, name: FileName | undefined): void {
    const key = `${list} ${name ?? ""}`;
    this.#answers.delete(key);
    this.#answers.set(key, { list, name });
    if (this.#answers.size <= REMEMBERED_ANSWERS) return;
    for (const [oldest, answer] of this.#answers) {
      this.#answers.delete(oldest);
      this.#invalidated(changesOf([answer]));
      return;
    }
  }
}

function changesOf(answers: readonly { readonly list: Ino; readonly name: FileName | undefined }[]): Invalidations {
  const entries = answers.flatMap(({ list, name }) => (name === undefined ? [] : [{ parent: list, name }]));
  return { entries, inodes: [...new Set(answers.map(({ list }) => list))], all: false };
}

/** The address of a search begins with this. No block's address does. */
const SEARCH = "search for ";
const NS_A_MS = 1_000_000n;
