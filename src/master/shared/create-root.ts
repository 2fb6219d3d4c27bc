/** Creates a bucket's root at an arbiter, once everything that it reaches is stored. Never replaces one. */
import type { Arbiter } from "../../arbiter/arbiter.ts";
import type { Budget } from "../../base/budget.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Cid, Wallet } from "../../base/ids.ts";
import type { TimeSlice } from "../../base/time-slice.ts";
import { checkComplete, type Completeness } from "../roots/completeness.ts";
import type { OwnerBlocks } from "../store/owner-blocks.ts";

export interface RootCreation {
  readonly arbiter: Pick<Arbiter, "roots">;
  /** Of the owner, at the same arbiter. */
  readonly blocks: OwnerBlocks;
  readonly pace: TimeSlice;
  readonly memory: Budget;
}

export type CreateOutcome =
  | { readonly kind: "created" | "same" }
  | { readonly kind: "other"; readonly current: Cid | undefined }
  | { readonly kind: "incomplete"; readonly found: Completeness };

/** "same": the bucket already has this root. Throws the arbiter's and the store's errors. */
export async function createRoot(
  { arbiter, blocks, pace, memory }: RootCreation,
  name: { readonly owner: Wallet; readonly bucket: string },
  commit: Cid,
): Promise<CreateOutcome> {
  for (;;) {
    const current = (await arbiter.roots.get(name))?.commit;
    if (current !== undefined) return current === commit ? { kind: "same" } : { kind: "other", current };
    const era = await blocks.era();
    const found = await checkComplete({ blocks, pace, memory, era, anyDepth: true }, commit);
    if (found.kind !== "complete") return { kind: "incomplete", found };
    const outcome = await arbiter.roots.swapInEra(name, undefined, commit, era);
    if (outcome.kind === "committed") return { kind: "created" };
    if (outcome.kind === "unknown") {
      throw new SynclineError("arbiter_unreachable", `The arbiter did not say whether it created ${name.bucket}.`, {
        hint: "Run the command again: a root that is there is kept.",
        cause: outcome.cause,
      });
    }
  }
}
