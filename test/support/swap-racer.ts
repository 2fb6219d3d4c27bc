/**
 * A process that swaps roots on request: one of several racing for a bucket. Arguments: the kind of RootStore and its path,
 * or for a bucket at a master its address. Answers every message with a message.
 */
import { systemClock } from "../../src/base/clock.ts";
import { describeError } from "../../src/base/log.ts";
import type { Cid } from "../../src/base/ids.ts";
import { systemRandom } from "../../src/base/random.ts";
import { FileObjectStore } from "../../src/objects/file-object-store.ts";
import { HttpRootStore } from "../../src/roots/http-root-store.ts";
import { ObjectRootStore, ONLY_BUCKET } from "../../src/roots/object-root-store.ts";
import type { BucketName, RootStore } from "../../src/roots/root-store.ts";
import { SqliteRootStore } from "../../src/roots/sqlite-root-store.ts";
import { connectTo } from "./history-access.ts";
import { SignedCommits } from "./signed-commits.ts";

export type RootStoreKind = "objects" | "sqlite" | "http";

export type RacerOrder =
  /** Makes one swap. */
  | { readonly do: "swap"; readonly expected: Cid | undefined; readonly next: Cid }
  /** Swaps on top of the root until committed; if commits are checked, `note` makes a new `next` each time. */
  | { readonly do: "win"; readonly next: Cid; readonly note?: string };

export type RacerAnswer =
  | { readonly is: "ready" }
  | { readonly is: "done"; readonly outcome: string; readonly attempts: number }
  | { readonly is: "failed"; readonly error: string };

const [kind, path = ""] = process.argv.slice(2);
const connection = kind === "http" ? connectTo(new URL(path).origin) : undefined;
const name: BucketName = kind === "http" ? { owner: "", bucket: new URL(path).pathname.slice(1) } : ONLY_BUCKET;
const store = open();
const commits = connection && (await SignedCommits.open(connection));

process.on("message", (order: RacerOrder) => {
  obey(order).then(answer, (error: unknown) => answer({ is: "failed", error: describeError(error) }));
});
answer({ is: "ready" });

async function obey(order: RacerOrder): Promise<RacerAnswer> {
  if (order.do === "swap") {
    const { kind: outcome } = await store.swap(name, order.expected, order.next);
    return { is: "done", outcome, attempts: 1 };
  }
  for (let attempts = 1; ; attempts++) {
    const root = await store.get(name);
    const [next = order.next] = (await commits?.make([order.note ?? ""], root?.commit)) ?? [];
    const { kind: outcome } = await store.swap(name, root?.commit, next);
    if (outcome === "committed") return { is: "done", outcome, attempts };
    await systemClock.sleep(systemRandom.fraction() * 10);
  }
}

function open(): RootStore {
  if (connection !== undefined) return new HttpRootStore(connection);
  if (kind === "sqlite") return new SqliteRootStore(path);
  return new ObjectRootStore(
    new FileObjectStore({ path, address: `file://${path}`, clock: systemClock, random: systemRandom }),
  );
}

function answer(message: RacerAnswer): void {
  process.send?.(message);
}
