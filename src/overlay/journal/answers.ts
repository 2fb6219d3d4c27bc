/**
 * Requests that were executed, with their results: if the process dies before the answer leaves, the next one must give that
 * answer and not execute them again. Only what was under way at the last end is ever asked for.
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

  /** The record that goes before these, if they are what a request changes. */
  recordFor(records: readonly JournalRecord[]): JournalRecord | undefined {
    const { request } = this;
    if (request === 0) return undefined;
    const change = records.find(({ kind }) => CHANGES.has(kind));
    if (change === undefined) return undefined;
    this.request = 0;
    const ino = change.kind === "create" ? change.object.ino : change.kind === "link" ? change.ino : 0;
    return { kind: "answered", request, ino };
  }

  /** In replay. */
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

  /** For the journal after a checkpoint: what may still be asked for. */
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
