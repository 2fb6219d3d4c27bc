/**
 * Whether an owner has stored everything that a block reaches: what a root must not lack.
 *
 * The walk goes depth first, in the order of links, and remembers each node whose blocks below are all there, children before
 * parents; it turns back at nodes that are known so already. So a swap costs the change, and a walk that was cut short is not walked
 * again. Blocks are whatever a client made: memory is bounded by the depth, which is bounded, and others are served meanwhile. Where any depth
 * has to do, a walk that is too deep forgets the upper half of its way down, but for the first node of it, and comes back to that later.
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
  /** Some of what is missing, MAX_MISSING_TOLD at most, at least one. */
  | { readonly kind: "missing"; readonly missing: readonly Cid[] }
  /** A block on the way is no dag-cbor, or too many lie below one another. */
  | { readonly kind: "malformed"; readonly cid: Cid; readonly message: string };

/** Walks from `root`. Throws what the store throws, but for blocks that are not there or damaged. */
export function checkComplete(walking: Walking, root: Cid): Promise<Completeness> {
  return new CompletenessWalk(walking).run(root);
}

export interface Walking {
  readonly blocks: WalkedBlocks;
  readonly pace: Pick<TimeSlice, "breathe">;
  /** Bytes of blocks that all walks together keep in memory. */
  readonly memory: Budget;
  /** For what was accepted before: in stages, more than MAX_WALK_DEPTH blocks may have come to lie below one another. */
  readonly anyDepth?: boolean;
}

/** A node on the way down. */
interface Frame {
  readonly cid: Cid;
  readonly isRoot: boolean;
  /** Undefined: not read yet, or given up for others' sake. */
  links: LinkList | undefined;
  heldBytes: number;
  /** How many links were looked at; all of them: the block is not needed any more. */
  at: number;
  isThrough: boolean;
  /** Of those, the nodes to go into, the next one last; and how many batches of marks were stored when they were looked up. */
  todo: Cid[];
  marksSeen: number;
  whole: boolean;
}

class CompletenessWalk {
  readonly #blocks: WalkedBlocks;
  readonly #pace: Pick<TimeSlice, "breathe">;
  readonly #anyDepth: boolean;
  readonly #stack: Frame[] = [];
  /** Nodes to come back to when the stack is empty, the next one last: one for every MAX_WALK_DEPTH / 2 on the way down. */
  readonly #left: Frame[] = [];
  readonly #missing = new Set<Cid>();
  /** Nodes above something that is missing: they are not gone into twice. */
  readonly #incomplete = new Set<Cid>();
  /** Complete nodes, children before parents, that are not marked in the store yet. */
  readonly #unmarked = new Set<Cid>();
  readonly #memory: Budget;
  #marks = 0;
  #heldBytes = 0;

  constructor({ blocks, pace, memory, anyDepth = false }: Walking) {
    this.#blocks = blocks;
    this.#pace = pace;
    this.#memory = memory;
    this.#anyDepth = anyDepth;
  }

  async run(root: Cid): Promise<Completeness> {
    const above = frameOf(root, false);
    await this.#lookUp(above, [root]);
    try {
      // Also one that is known as complete: that says nothing of its list of kept commits (reached-links.ts).
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

  /** Finds out which of these children are missing and which have to be gone into. */
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
    // It may lie below one of its siblings, too.
    if (frame.marksSeen !== this.#marks && (await this.#blocks.complete([child])).has(child)) return;
    if (this.#stack.length >= MAX_WALK_DEPTH) this.#forgetUpper(child);
    this.#stack.push(frameOf(child, false));
  }

  /** Drops the upper half of the stack except its first node, finishes what is below, then walks again from there to what is marked. */
  #forgetUpper(child: Cid): void {
    if (!this.#anyDepth) throw new Malformed(child, `More than ${MAX_WALK_DEPTH} blocks lie below one another.`);
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
    await this.#blocks.markComplete([...this.#unmarked]);
    this.#unmarked.clear();
    this.#marks++;
  }

  #miss(frame: Frame, cid: Cid): void {
    frame.whole = false;
    if (this.#missing.size < MAX_MISSING_TOLD) this.#missing.add(cid);
  }

  /** Undefined, and counted as missing, if it went away since it was looked up, or is damaged. */
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

  /** Takes memory for a block. What its walk holds besides is given up where it is much, or where others hold what is there. */
  async #hold(frame: Frame, bytes: number): Promise<void> {
    const free = this.#memory.tryTake(bytes);
    for (const lower of this.#stack) {
      if (free && this.#heldBytes + bytes <= WALK_HELD_BYTES) break;
      this.#release(lower);
    }
    // Whoever waits holds nothing: else all could wait for one another.
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
/** Of memory for a block's bytes and where its links lie in it: 8 for each of at least 41. */
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
