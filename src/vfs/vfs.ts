/**
 * The filesystem that doors serve, and its interface for the agent: sealing epochs to publish and adopting new bases.
 * This class only joins the parts: namespace, metadata, file-io and listing on Objects, on top of the overlay.
 */
import type { Cid, FileName, Ino, WriterId } from "../base/ids.ts";
import type { ChangeSet, NewBase, PublishedEpoch, SentCommit } from "../fstree/change-set.ts";
import type { Units } from "../format/commits/policy.ts";
import type { Beginning } from "../overlay/beginnings.ts";
import { isUnlinked } from "../overlay/dirty-object.ts";
import type { StorageSpace } from "../overlay/disk/storage.ts";
import type { BaseRoot } from "../overlay/journal/journal-record.ts";
import type { Overlay } from "../overlay/overlay.ts";
import type { Pending } from "../overlay/pending.ts";
import { changedPaths, type TreePath } from "./changed-paths.ts";
import type { ContentName, ContentNames } from "./content-names.ts";
import { FileIo } from "./file-io.ts";
import type {
  AnsweredRequests,
  AttributeChange,
  Attributes,
  Caller,
  DirectoryEntry,
  EarlierOpens,
  FileSystem,
  Invalidations,
  Listing,
  Readers,
} from "./filesystem.ts";
import { Listings } from "./listing.ts";
import type { LostFamilies } from "./lost-families.ts";
import { Metadata } from "./metadata.ts";
import { Namespace } from "./namespace.ts";
import type { DirtyReason } from "./dirty-signal.ts";
import { NewBases } from "./new-bases.ts";
import type { BegunFile, Objects } from "./objects.ts";
import type { PublishState } from "./publish-state.ts";

export class Vfs implements FileSystem, ContentNames {
  readonly #objects: Objects;
  readonly #overlay: Overlay;
  readonly #namespace: Namespace;
  readonly #metadata: Metadata;
  readonly #files: FileIo;
  readonly #listings: Listings;
  readonly #bases: NewBases;
  readonly #lost: LostFamilies;
  readonly answers: AnsweredRequests;
  readonly publishState: PublishState;
  readonly watchOthers: Objects["watchOthers"];

  /** Use `openVfs`. */
  constructor(objects: Objects, goesOn: boolean) {
    this.answers = objects.overlay.answers;
    this.publishState = objects.publishState;
    this.watchOthers = objects.watchOthers;
    this.#objects = objects;
    this.#overlay = objects.overlay;
    this.#namespace = new Namespace(objects);
    this.#metadata = new Metadata(objects);
    this.#files = new FileIo(objects);
    this.#listings = new Listings(objects);
    this.#bases = new NewBases(objects);
    this.#lost = objects.lostFamilies;
    this.#bases.begin(goesOn);
  }

  lookup(parent: Ino, name: FileName): Attributes | undefined {
    return this.#namespace.lookup(parent, name);
  }

  getAttributes(ino: Ino): Attributes {
    return this.#objects.attributes(ino);
  }

  setAttributes(ino: Ino, change: AttributeChange): Attributes {
    return this.#metadata.setAttributes(ino, change);
  }

  makeNode(parent: Ino, name: FileName, mode: number, rdev: number, caller: Caller): Attributes {
    return this.#lost.change(parent, name, (at, as) => this.#namespace.makeNode(at, as, mode, rdev, caller));
  }

  makeDirectory(parent: Ino, name: FileName, mode: number, caller: Caller): Attributes {
    return this.#lost.change(parent, name, (at, as) => this.#namespace.makeDirectory(at, as, mode, caller));
  }

  makeSymlink(parent: Ino, name: FileName, target: string, caller: Caller): Attributes {
    return this.#lost.change(parent, name, (at, as) => this.#namespace.makeSymlink(at, as, target, caller));
  }

  makeUnnamed(parent: Ino, mode: number, caller: Caller): Attributes {
    return this.#namespace.makeUnnamed(parent, mode, caller);
  }

  link(ino: Ino, parent: Ino, name: FileName): Attributes {
    return this.#lost.change(parent, name, (at, as) => this.#namespace.link(ino, at, as));
  }

  unlink(parent: Ino, name: FileName): void {
    this.#lost.change(parent, name, (at, as) => this.#namespace.unlink(at, as));
  }

  removeDirectory(parent: Ino, name: FileName): void {
    this.#lost.change(parent, name, (at, as) => this.#namespace.removeDirectory(at, as));
  }

  rename(parent: Ino, name: FileName, newParent: Ino, newName: FileName, flags: number, caller?: Caller): void {
    this.#lost.change(parent, name, (at, as) =>
      this.#lost.change(newParent, newName, (newAt, newAs) =>
        this.#namespace.rename(at, as, newAt, newAs, flags, caller),
      ),
    );
    this.#bases.renamed([
      { parent, name },
      { parent: newParent, name: newName },
    ]);
  }

  readSymlink(ino: Ino): string {
    return this.#namespace.readSymlink(ino);
  }

  read(ino: Ino, offset: number, length: number, target: Uint8Array): number {
    return this.#files.read(ino, offset, length, target);
  }

  readUncached(ino: Ino, offset: number, target: Uint8Array): number | Promise<number> {
    return this.#files.readUncached(ino, offset, target);
  }

  write(ino: Ino, offset: number, bytes: Uint8Array): void {
    this.#files.write(ino, offset, bytes);
  }

  allocate(ino: Ino, mode: number, offset: number, length: number): void {
    this.#files.allocate(ino, mode, offset, length);
  }

  seek(ino: Ino, offset: number, whence: "data" | "hole"): number {
    return this.#files.seek(ino, offset, whence);
  }

  copyRange(from: Ino, fromOffset: number, to: Ino, toOffset: number, length: number): number {
    return this.#files.copyRange(from, fromOffset, to, toOffset, length);
  }

  readDirectory(ino: Ino, cookie: number, withAttributes: boolean, emit: (entry: DirectoryEntry) => boolean): void {
    this.#listings.read(ino, cookie, withAttributes, emit);
  }

  list(ino: Ino, cookie: number, limit: number): Listing {
    return this.#listings.list(ino, cookie, limit);
  }

  getXattr(ino: Ino, name: string): Uint8Array | undefined {
    return this.#metadata.getXattr(ino, name);
  }

  setXattr(ino: Ino, name: string, value: Uint8Array, flags: number): void {
    this.#metadata.setXattr(ino, name, value, flags);
  }

  listXattrs(ino: Ino): string[] {
    return this.#metadata.listXattrs(ino);
  }

  removeXattr(ino: Ino, name: string): void {
    this.#metadata.removeXattr(ino, name);
  }

  statFs(): StorageSpace {
    return this.#objects.spaceWithin(this.#overlay.space());
  }

  persist(): void {
    this.#overlay.persist();
  }

  throttle(ino: Ino | undefined, bytes = 0): Promise<void> | undefined {
    const pauseMs = bytes > 0 ? this.#overlay.room.pauseMs(bytes) : this.#overlay.pauseMs(ino);
    return pauseMs === 0 ? undefined : this.#objects.clock.sleep(pauseMs);
  }

  async fsync(ino: Ino): Promise<void> {
    if (this.#overlay.state.publishable > 0) this.#objects.dirty.tell("fsync");
    await this.#overlay.fsync(ino);
  }

  fsyncNow(ino: Ino): boolean {
    if (!this.#overlay.fsyncNow(ino)) return false;
    if (this.#overlay.state.publishable > 0) this.#objects.dirty.tell("fsync");
    return true;
  }

  closed(ino: Ino): void {
    if (this.#overlay.state.object(ino) !== undefined) this.#objects.dirty.tell("close");
  }

  checkWritable(ino: Ino): void {
    this.#objects.checkWritable(ino);
  }

  watchReaders(readers: Readers, earlier?: EarlierOpens): void {
    this.#objects.replaced.watch(readers, earlier?.isComplete === false);
    if (earlier !== undefined) this.#bases.onlyHeld(earlier.held);
  }

  holdVersion(ino: Ino): boolean {
    const { held, overlay, clean } = this.#objects;
    held.hold(ino, overlay.state.object(ino) === undefined ? clean.get(ino) : undefined);
    return !held.lost.has(ino);
  }

  releaseVersion(ino: Ino): void {
    this.#bases.released(ino);
  }

  watchOrphans(listener: (ino: Ino) => void): void {
    this.#objects.onOrphan = listener;
    for (const object of this.#overlay.state.objects())
      if (isUnlinked(object) && !object.forgotten) listener(object.ino);
  }

  forget(ino: Ino): void {
    const object = this.#overlay.state.object(ino);
    if (object === undefined) this.#objects.onForgotten(ino);
    else if (isUnlinked(object) && !object.forgotten)
      this.#overlay.execute([{ kind: "forget", ino }], { urgent: true });
  }

  load(cids: readonly Cid[], signal?: AbortSignal): Promise<void> {
    return this.#objects.loader.load(cids, signal);
  }

  pathOf(ino: Ino): string {
    return this.#objects.pathOf(ino);
  }

  knownInodes(): Iterable<Ino> {
    return this.#overlay.state.inodes.numbers();
  }

  contentName(ino: Ino): ContentName {
    return this.#objects.contentName(ino);
  }

  nameContent(ino: Ino, name: Cid): void {
    const object = this.#overlay.state.object(ino);
    if (object !== undefined) object.bytesName = name;
  }

  /** The writer of a conflict copy's version. Throws BlockMiss. */
  conflictWriter(ino: Ino): WriterId | undefined {
    return this.#objects.record(ino).conflict?.writer;
  }

  /** What is not in the bucket yet. */
  pending(): Pending {
    return this.#overlay.pending();
  }

  /**
   * Everything that changed, as the next epoch to publish; the epoch in flight if there is one. Undefined: nothing changed.
   * `anew`, `removals`: as Overlay.seal, sealRemovals. Before it leaves this machine, `sync`: its number must not come back.
   */
  seal(anew = false, removals?: Units): ChangeSet | undefined {
    if (removals !== undefined) return this.#overlay.sealRemovals(removals);
    this.#objects.dirty.reset();
    if (anew || this.#overlay.state.inFlight === undefined) this.#objects.dirty.sealed();
    return this.#overlay.seal(anew);
  }

  /** Makes everything answered so far survive power loss, except contents that were not fsynced. */
  sync(): Promise<void> {
    return this.#overlay.sync();
  }

  /** Before a swap of the sealed epoch: notes durably that it may put this commit into the bucket. */
  sending(epoch: number, sent: SentCommit): Promise<void> {
    return this.#overlay.sending(epoch, sent);
  }

  /** Loads the blocks that `published` and `adopt` need for what programs have open. Rejects as reading does. */
  prepare(base: NewBase, units: Units | "any" | undefined): Promise<void> {
    return this.#bases.prepare(base, units);
  }

  /** The sealed epoch is in the bucket. */
  published(result: PublishedEpoch): void {
    this.#bases.published(result);
  }

  /** Adopts a root that others published. False: not adopted, since these units have unpublished changes. */
  adopt(base: NewBase, units?: Units | "any"): boolean {
    return this.#bases.adopt(base, units);
  }

  baseState(): BaseRoot {
    return this.#overlay.state.base;
  }

  /** What changed in the bucket from this tree to the base's. Undefined: too much. Rejects with `block_not_found`. */
  async changedSince(from: Cid): Promise<{ readonly tree: Cid; readonly paths: readonly TreePath[] } | undefined> {
    const { tree } = this.baseState();
    const paths = await changedPaths(this.#objects.loader.nodes, from, tree);
    return paths && { tree, paths };
  }

  /** Unpublished epochs: the sealed one, then the live one. */
  get heldEpochs(): number[] {
    const { inFlight, changed, epoch } = this.#overlay.state;
    return [...(inFlight === undefined ? [] : [inFlight.changes.epoch]), ...(changed ? [epoch] : [])];
  }

  /** The number of the next sealed epoch. */
  get epoch(): number {
    return this.#overlay.state.epoch;
  }

  /** Calls `listener` when to flush: soon for writes, at once for the first close or fsync after a seal. The last wins. */
  onDirty(listener: (reason: DirtyReason) => void): void {
    this.#objects.dirty.listen(listener);
  }

  /** Calls `listener` now and then with a large file being rewritten in order. One listener; the last wins. */
  onBegun(listener: (file: BegunFile) => void): void {
    this.#objects.onBegun = listener;
  }

  /** Whether the reported bytes of a file are still the same. The answer for a sealed epoch is final. */
  isSteady(beginning: Beginning): boolean {
    return this.#overlay.data.isSteady(beginning);
  }

  /** Calls `listener` with what others changed. One listener; the last wins. */
  onInvalidate(listener: (changes: Invalidations) => void): void {
    this.#bases.changed = listener;
  }

  /** Writes what the journal holds to the tables, to shorten a restart. The overlay also does this by itself. */
  checkpoint(): Promise<void> {
    return this.#overlay.checkpoint();
  }

  /** Checkpoints and closes. What was committed stays, even if this fails. */
  close(): Promise<void> {
    return this.#overlay.close();
  }
}
