/**
 * A process that swaps roots when told to: one of those that race for a bucket. Arguments: the kind of RootStore and its path.
 * Answers every message with a message.
 */
import { systemClock } from "../../src/base/clock.ts";
import { describeError } from "../../src/base/log.ts";
import type { Cid } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../src/roots/object-root-store.ts";
import type { RootStore } from "../../src/roots/root-store.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";

export type RootStoreKind = "objects" | "sqlite";

export type RacerOrder =
  /** One swap. */
  | { readonly do: "swap"; readonly expected: Cid | undefined; readonly next: Cid }
  /** Swaps on top of whatever the root is, until one is committed. */
  | { readonly do: "win"; readonly next: Cid };

export type RacerAnswer =
  | { readonly is: "ready" }
  | { readonly is: "done"; readonly outcome: string; readonly attempts: number }
  | { readonly is: "failed"; readonly error: string };

const [kind, path = ""] = process.argv.slice(2);
const store = open();

process.on("message", (order: RacerOrder) => {
  obey(order).then(answer, (error: unknown) => answer({ is: "failed", error: describeError(error) }));
});
answer({ is: "ready" });

async function obey(order: RacerOrder): Promise<RacerAnswer> {
  if (order.do === "swap") {
    const { kind: outcome } = await store.swap(ONLY_BUCKET, order.expected, order.next);
    return { is: "done", outcome, attempts: 1 };
  }
  for (let attempts = 1; ; attempts++) {
    const root = await store.get(ONLY_BUCKET);
    const { kind: outcome } = await store.swap(ONLY_BUCKET, root?.commit, order.next);
    if (outcome === "committed") return { is: "done", outcome, attempts };
    await systemClock.sleep(systemRandom.fraction() * 10);
  }
}

function open(): RootStore {
  if (kind === "sqlite") return new SqliteRootStore(path);
  return new ObjectRootStore(
    new FileObjectStore({ path, address: `file://${path}`, clock: systemClock, random: systemRandom }),
  );
}

function answer(message: RacerAnswer): void {
  process.send?.(message);
}
