/**
 * Whether an owner has stored everything that a block reaches, as a root requires.
 *
 * The walk is depth-first in link order. It marks each node with everything below it stored, children before parents, and
 * turns back at marked nodes. So a swap costs as much as its change, and an interrupted walk resumes. Clients choose the
 * blocks, so depth and memory are bounded, and the walk yields to others. Where any depth is allowed, a walk that gets too
 * deep drops the upper half of its stack, except its first node, and returns to that later.
 */
import type { Budget } from "../../base/budget.ts";
import { hasCode, SynclineError } from "../../base/errors.ts";
import type { Cid } from "../../base/ids.ts";
import {
  MAX_MISSING_TOLD,
  MAX_WALK_DEPTH,
  WALK_HELD_BYTES,
  WALK_INCOMPLETE_NODES,
  WALK_LINKS,
  WALK_MARKS,
} from "../limits.ts";
import type { TimeSlice } from "../../base/time-slice.ts";
import { isGone } from "../../blocks/not-found.ts";
import { codecOf } from "../../format/blocks/cid.ts";
import type { LinkList } from "../../format/blocks/link-scan.ts";
import type { WalkedBlocks } from "../store/owner-blocks.ts";
import { reachedLinks } from "../store/reached-links.ts";

export type Completeness =
  | { readonly kind: "complete" }
  /** Some of the missing blocks: at least one, at most MAX_MISSING_TOLD. */
  | { readonly kind: "missing"; readonly missing: readonly Cid[] }
  /** A block on the way is not valid dag-cbor, or the nesting is too deep. */
  | { readonly kind: "malformed"; readonly cid: Cid; readonly message: string };

/** Walks from `root`. Throws the store's errors, except for missing or damaged blocks. */
export function checkComplete(walking: Walking, root: Cid): Promise<Completeness> {
  return new CompletenessWalk(walking).run(root);
}

export interface Walking {
  readonly blocks: WalkedBlocks;
  readonly pace: Pick<TimeSlice, "breathe">;
  /** Bytes of blocks that all walks keep in memory. */
  readonly memory: Budget;
  /** Of the blocks, as they were when the walk began (OwnerBlocks.era). */
  readonly era: number;
  /** For roots accepted before: built in stages, they may be deeper than MAX_WALK_DEPTH. */
  readonly anyDepth?: boolean;
}

/** A node on the way down. */
interface Frame {
  readonly cid: Cid;
  readonly isRoot: boolean;
  /** Undefined: not read yet, or dropped to free memory for others. */
  links: LinkList | undefined;
  heldBytes: number;
  /** How many links were looked at; once all were, the block is no longer needed. */
  at: number;
  isThrough: boolean;
  /** Of those, the nodes to enter, the next one last; and how many batches of marks their look-up had seen. */
  todo: Cid[];
  marksSeen: number;
  whole: boolean;
}

class CompletenessWalk {
  readonly #blocks: WalkedBlocks;
  readonly #pace: Pick<TimeSlice, "breathe">;
  readonly #anyDepth: boolean;
  readonly #era: number;
  readonly #stack: Frame[] = [];
  /** Nodes to return to when the stack is empty, the next one last: one for every MAX_WALK_DEPTH / 2 levels. */
  readonly #left: Frame[] = [];
  readonly #missing = new Set<Cid>();
  /** Nodes above missing blocks: they are not entered twice. */
  readonly #incomplete = new Set<Cid>();
  /** Complete nodes, children before parents, that are not marked in the store yet. */
  readonly #unmarked = new Set<Cid>();
  readonly #memory: Budget;
  #marks = 0;
  #heldBytes = 0;

  constructor({ blocks, pace, memory, era, anyDepth = false }: Walking) {
    this.#blocks = blocks;
    this.#pace = pace;
    this.#memory = memory;
    this.#era = era;
    this.#anyDepth = anyDepth;
  }

  async run(root: Cid): Promise<Completeness> {
    const above = frameOf(root, false);
    await this.#lookUp(above, [root]);
    try {
      // Even if it is known as complete: that excludes its list of kept commits (reached-links.ts).
      if (above.whole && codecOf(root) === "dag-cbor") this.#left.push(frameOf(root, true));
      for (let frame = this.#next(); frame !== undefined && !this.#hasEnough; frame = this.#next()) {
        await this.#pace.breathe();
        await this.#step(frame);
      }
    } catch (error) {
      if (error instanceof Malformed) return { kind: "malformed", cid: error.cid, message: error.message };
      throw error;
    } finally {
      for (const frame of this.#stack) this.#release(frame);
      await this.#mark();
    }
    return this.#missing.size > 0 ? { kind: "missing", missing: [...this.#missing] } : { kind: "complete" };
  }

  get #hasEnough(): boolean {
    return this.#missing.size >= MAX_MISSING_TOLD || this.#incomplete.size >= WALK_INCOMPLETE_NODES;
  }

  #next(): Frame | undefined {
    const left = this.#stack.length === 0 ? this.#left.pop() : undefined;
    if (left !== undefined) this.#stack.push(left);
    return this.#stack.at(-1);
  }

  async #step(frame: Frame): Promise<void> {
    const child = frame.todo.pop();
    if (child !== undefined) return this.#enter(frame, child);
    if (frame.isThrough) return this.#leave(frame);
    const links = frame.links ?? (await this.#read(frame));
    if (links === undefined) return this.#leave(frame);
    const looked = links.slice(frame.at, frame.at + WALK_LINKS);
    frame.at += looked.length;
    frame.isThrough = frame.at >= links.count;
    if (frame.isThrough) this.#release(frame);
    await this.#lookUp(frame, looked);
  }

  /** Finds out which of these children are missing and which must be entered. */
  async #lookUp(frame: Frame, links: readonly Cid[]): Promise<void> {
    const children = [...new Set(links)];
    const nodes = children.filter((cid) => codecOf(cid) === "dag-cbor");
    frame.marksSeen = this.#marks;
    const complete = nodes.length === 0 ? NONE : await this.#blocks.complete(nodes);
    const stored = await this.#blocks.hold(children);
    for (const cid of children) if (!stored.has(cid)) this.#miss(frame, cid);
    frame.todo = nodes.filter((cid) => stored.has(cid) && !complete.has(cid)).reverse();
  }

  async #enter(frame: Frame, child: Cid): Promise<void> {
    if (this.#incomplete.has(child)) frame.whole = false;
    if (this.#incomplete.has(child) || this.#unmarked.has(child)) return;
    // It may also lie below one of its siblings.
    if (frame.marksSeen !== this.#marks && (await this.#blocks.complete([child])).has(child)) return;
    if (this.#stack.length >= MAX_WALK_DEPTH) this.#forgetUpper(child);
    this.#stack.push(frameOf(child, false));
  }

  /** Drops the upper half of the stack but for its first node; after the rest, the walk descends again from there. */
  #forgetUpper(child: Cid): void {
    if (!this.#anyDepth) throw new Malformed(child, `Blocks are nested more than ${MAX_WALK_DEPTH} deep.`);
    const upper = this.#stack.splice(0, MAX_WALK_DEPTH / 2);
    for (const frame of upper) this.#release(frame);
    for (const { cid, isRoot } of upper.slice(0, 1)) this.#left.push(frameOf(cid, isRoot));
  }

  async #leave(frame: Frame): Promise<void> {
    this.#stack.pop();
    this.#release(frame);
    if (frame.whole) {
      this.#unmarked.add(frame.cid);
      if (this.#unmarked.size >= WALK_MARKS) await this.#mark();
      return;
    }
    this.#incomplete.add(frame.cid);
    const parent = this.#stack.at(-1);
    if (parent !== undefined) parent.whole = false;
  }

  async #mark(): Promise<void> {
    if (this.#unmarked.size === 0) return;
    await this.#blocks.markComplete([...this.#unmarked], this.#era);
    this.#unmarked.clear();
    this.#marks++;
  }

  #miss(frame: Frame, cid: Cid): void {
    frame.whole = false;
    if (this.#missing.size < MAX_MISSING_TOLD) this.#missing.add(cid);
  }

  /** Undefined, and counted as missing, if it disappeared since the look-up or is damaged. */
  async #read(frame: Frame): Promise<LinkList | undefined> {
    await this.#hold(frame, Math.ceil(((await this.#blocks.size(frame.cid)) ?? 0) * BYTES_A_BYTE));
    try {
      frame.links = reachedLinks(frame.cid, await this.#blocks.get(frame.cid), frame.isRoot);
      return frame.links;
    } catch (error) {
      if (hasCode(error, "format_invalid")) throw new Malformed(frame.cid, error.message);
      if (!isGone(error)) throw error;
      this.#miss(frame, frame.cid);
      return undefined;
    }
  }

  /** Takes memory for a block. Releases what the walk holds besides if that is much, or if others need it. */
  async #hold(frame: Frame, bytes: number): Promise<void> {
    const free = this.#memory.tryTake(bytes);
    for (const lower of this.#stack) {
      if (free && this.#heldBytes + bytes <= WALK_HELD_BYTES) break;
      this.#release(lower);
    }
    // Hold nothing while waiting: otherwise walks could deadlock.
    if (!free) await this.#memory.take(bytes);
    frame.heldBytes = bytes;
    this.#heldBytes += bytes;
  }

  #release(frame: Frame): void {
    this.#memory.give(frame.heldBytes);
    this.#heldBytes -= frame.heldBytes;
    frame.heldBytes = 0;
    frame.links = undefined;
  }
}

const NONE: ReadonlySet<Cid> = new Set();
/** Memory for a block and the positions of its links: 8 bytes for each link of at least 41. */
const BYTES_A_BYTE = 1.25;

class Malformed extends SynclineError {
  readonly cid: Cid;
  constructor(cid: Cid, message: string) {
    super("format_invalid", message);
    this.cid = cid;
  }
}

function frameOf(cid: Cid, isRoot: boolean): Frame {
  return { cid, isRoot, links: undefined, heldBytes: 0, at: 0, isThrough: false, todo: [], marksSeen: 0, whole: true };
}
