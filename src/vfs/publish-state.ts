/**
 * Whether an inode's changes are in the bucket, as a read-only extended attribute. It is not listed, so programs that copy
 * all attributes do not copy it.
 */
import type { Ino } from "../base/ids.ts";
import type { ErrorCode } from "../base/errors.ts";
import type { Overlay } from "../overlay/overlay.ts";
import type { HeldVersions } from "./held-versions.ts";
import { refuse } from "./refusal.ts";

export const STATE_XATTR = "user.syncline.state";

/** How publishing goes. */
export type PublishingNews =
  /** Bytes are on their way. */
  | "moving"
  /** An attempt to publish has ended, with this problem if it failed. */
  | { readonly problem: ErrorCode | undefined };

export class PublishState {
  readonly #overlay: Overlay;
  readonly #held: HeldVersions;
  #problem: ErrorCode | undefined;

  constructor(overlay: Overlay, held: HeldVersions) {
    this.#overlay = overlay;
    this.#held = held;
  }

  /** Whether everything shown is as in the base: nothing is unpublished, and no held file is older. */
  get showsBase(): boolean {
    return this.#overlay.pending().files === 0 && !this.#held.isAnyOld;
  }

  told(news: PublishingNews): void {
    const { room } = this.#overlay;
    if (news === "moving") return room.progressed();
    this.#problem = news.problem;
    room.failing(news.problem !== undefined);
  }

  /** "published", "pending", or the code of the error that prevents publishing. */
  of(ino: Ino): Uint8Array {
    const isDirty = this.#overlay.state.object(ino) !== undefined;
    return Buffer.from(isDirty ? (this.#problem ?? "pending") : "published");
  }
}

/** Refuses to change it. */
export function checkXattrName(name: string): void {
  if (name === STATE_XATTR) throw refuse("EPERM");
}
