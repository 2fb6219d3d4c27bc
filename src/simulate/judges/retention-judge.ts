/**
 * Which roots a bucket must go on retaining, judged as each root comes: every one of the last minutes, whatever the clock of its maker says,
 * as long as somebody before it told the time (docs/design/retention.md). Written on plain lists.
 */
import type { Cid, Lamport } from "../../base/ids.ts";
import { keptCommits } from "../../bucket/history.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { NodeStore } from "../../tree/node-store.ts";

interface KnownRoot {
  readonly seq: Lamport;
  readonly cid: Cid;
  /** When it came, by the world's time, and when it says that it was made. */
  readonly cameNs: bigint;
  readonly saysNs: bigint;
}

export class RetentionJudge {
  readonly #nodes: NodeStore;
  readonly #known = new Map<Lamport, KnownRoot>();
  #kept: ReadonlySet<Lamport> = new Set();

  constructor(nodes: NodeStore) {
    this.#nodes = nodes;
  }

  /** `commit` is the new root. What it must have and has not. */
  async note(commit: VerifiedCommit, nowNs: bigint): Promise<string[]> {
    const { seq, timeNs } = commit.body;
    const kept = new Set<Lamport>([seq]);
    for await (const each of keptCommits(this.#nodes, commit)) kept.add(each.seq);
    const witnesses = [...this.#known.values()].filter((root) => this.#kept.has(root.seq) && tellsTime(root, nowNs));
    const gone = [...this.#kept].flatMap((each) => (kept.has(each) ? [] : (this.#known.get(each) ?? [])));
    const faults = gone
      .filter(({ cameNs }) => nowNs - cameNs < YOUNG_NS)
      .filter((root) => witnesses.some((witness) => witness.seq <= root.seq))
      .map((root) => `root ${commit.cid} does not retain root ${root.cid}, which is young`);
    this.#kept = kept;
    this.#known.set(seq, { seq, cid: commit.cid, cameNs: nowNs, saysNs: timeNs });
    return faults;
  }
}

/** Whether it says that it was made lately. */
function tellsTime({ saysNs }: KnownRoot, nowNs: bigint): boolean {
  return saysNs > nowNs - YOUNG_NS && saysNs < nowNs + FUTURE_NS;
}

const MINUTE_NS = 60_000_000_000n;
/** All of the last 15 minutes stay; clocks of collectors at masters are a few minutes off. */
const YOUNG_NS = 10n * MINUTE_NS;
/** So far ahead a clock may be and is believed. */
const FUTURE_NS = 20n * 60n * MINUTE_NS;
