/**
 * Checks, at each new root, which roots a bucket still retains: all recent ones, whatever their makers' clocks say, if an
 * earlier root has a credible time (docs/design/retention.md). Implemented with plain lists.
 */
import type { Cid, Lamport } from "../../base/ids.ts";
import { keptCommits } from "../../bucket/history.ts";
import type { VerifiedCommit } from "../../bucket/verified-commit.ts";
import type { NodeStore } from "../../tree/node-store.ts";

interface KnownRoot {
  readonly seq: Lamport;
  readonly cid: Cid;
  /** The world's time when it arrived, and the time that it states. */
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

  /** `commit` is the new root. Returns the young roots that it wrongly drops. */
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

/** Whether the root states a recent time. */
function tellsTime({ saysNs }: KnownRoot, nowNs: bigint): boolean {
  return saysNs > nowNs - YOUNG_NS && saysNs < nowNs + FUTURE_NS;
}

const MINUTE_NS = 60_000_000_000n;
/** All roots of the last 15 minutes stay; the clocks of collectors at masters are a few minutes off. */
const YOUNG_NS = 10n * MINUTE_NS;
/** Clocks at most this far ahead are trusted. */
const FUTURE_NS = 20n * 60n * MINUTE_NS;
