/**
 * Requests that were executed, with their results. If the process dies before an answer leaves, the next process must give
 * that answer instead of executing the request again. It only asks for requests that were under way when the process died.
 */
import type { Ino } from "../../base/ids.ts";
import type { JournalRecord } from "./journal-record.ts";

export class Answers {
  /** The request that the next change answers; 0: none. */
  request = 0;
  readonly #found = new Map<number, Ino | 0>();
  readonly #journal: () => void;

  /** `journal` records that they are forgotten. */
  constructor(journal: () => void) {
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
    return { kind: "answered", request, ino };
  }

  /** Applies a record in replay. */
  take(record: JournalRecord): void {
    if (record.kind === "answered") this.#found.set(record.request, record.ino);
    else if (record.kind === "connected") this.#found.clear();
  }

  of(request: number): Ino | 0 | undefined {
    return this.#found.get(request);
  }

  forget(): void {
    this.#journal();
    this.#found.clear();
  }

  /** What may still be asked for, to be written to the journal after a checkpoint. */
  get records(): JournalRecord[] {
    return Array.from(this.#found, ([request, ino]) => ({ kind: "answered", request, ino }));
  }
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
