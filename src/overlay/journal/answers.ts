/**
 * Requests that were executed, with their results. If the process dies before an answer leaves, the next process must give
 * that answer instead of executing the request again. It only asks for requests that were under way when the process died.
 */
import type { Ino } from "../../base/ids.ts";
import type { JournalRecord } from "./journal-record.ts";

export class Answers {
  /** The request that the next change answers; 0: none. */
  request = 0;
  /** Executed before the last restart. */
  readonly #found = new Map<number, Ino | 0>();
  /** Executed, but not answered yet: a write that waits for its sync, for instance. */
  readonly #kept = new Map<number, Ino | 0>();
  #last: Answered | undefined;
  readonly #journal: (records: readonly JournalRecord[]) => void;

  constructor(journal: (records: readonly JournalRecord[]) => void) {
    this.#journal = journal;
  }

  /** The record to write before these, if a request makes these changes. */
  recordFor(records: readonly JournalRecord[]): JournalRecord | undefined {
    const { request } = this;
    if (request === 0) return undefined;
    const change = records.find(({ kind }) => CHANGES.has(kind));
    if (change === undefined) return undefined;
    this.request = 0;
    const ino = change.kind === "create" ? change.object.ino : change.kind === "link" ? change.ino : 0;
    this.#last = { kind: "answered", request, ino };
    return this.#last;
  }

  /** Applies a record in replay. */
  take(record: JournalRecord): void {
    if (record.kind === "answered") this.#found.set(record.request, record.ino);
    else if (record.kind === "connected") this.#found.clear();
  }

  of(request: number): Ino | 0 | undefined {
    return this.#found.get(request);
  }

  keep(request: number): void {
    const ino = this.#last?.request === request ? this.#last.ino : this.#found.get(request);
    if (ino !== undefined) this.#kept.set(request, ino);
  }

  answered(request: number): void {
    this.#kept.delete(request);
  }

  forget(): void {
    this.#journal([{ kind: "connected" }, ...recordsOf(this.#kept)]);
    this.#found.clear();
  }

  /** What may still be asked for, to be written to the journal after a checkpoint. */
  get records(): JournalRecord[] {
    return recordsOf(new Map([...this.#found, ...this.#kept]));
  }
}

type Answered = Extract<JournalRecord, { readonly kind: "answered" }>;

function recordsOf(results: ReadonlyMap<number, Ino | 0>): Answered[] {
  return Array.from(results, ([request, ino]) => ({ kind: "answered", request, ino }));
}

const CHANGES: ReadonlySet<JournalRecord["kind"]> = new Set([
  "create",
  "link",
  "unlink",
  "rename",
  "xattrs",
  "data",
  "written",
]);
