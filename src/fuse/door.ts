/**
 * The FUSE door: takes batches of requests, calls the filesystem, answers. Every request gets an answer, and answers to
 * changes leave only after the journal is written.
 *
 * A call that lacks blocks is held back until they are loaded, then run again; the others continue meanwhile.
 */
import { BlockMiss } from "../blocks/block-store.ts";
import { untilAborted } from "../base/concurrency.ts";
import { ERRNO } from "../base/errno.ts";
import type { Ino } from "../base/ids.ts";
import { describeError, type Log } from "../base/log.ts";
import { type FileSystem, FsError, type Invalidations } from "../vfs/filesystem.ts";
import type { FuseAddon, Session } from "./addon.ts";
import { Appends } from "./appends.ts";
import { errnoOf, shownPath } from "./failure.ts";
import { Exchange, type HeldRequest } from "./exchange.ts";
import { type Cause, isPassing, over, pauseOf } from "./causes.ts";
import type { HandlerEntry, Later } from "./handler.ts";
import { THREADS } from "./dying-thread.ts";
import { negotiate, offersAcls } from "./negotiation.ts";
import { lockedFiles } from "./locked-files.ts";
import { IndexPrograms } from "./index-programs.ts";
import { Invalidator } from "./invalidation.ts";
import { OpenFiles } from "./open-files.ts";
import { OpenTable } from "./open-table.ts";
import { Orphans } from "./orphans.ts";
import { HANDLERS, inodesOf, operationName } from "./operations.ts";
import { type ChosenOptions, sessionSettings } from "./options.ts";
import { INIT2, MAX_WRITE_BYTES, OPCODE, WRITE_CACHE } from "./protocol.ts";
import { Replay } from "./replay.ts";
import type { Agreed, Held } from "./supervisor.ts";
import { Owners } from "./owners.ts";
import { usedInside } from "./used-inside.ts";
import { WaitingRequests } from "./waiting-requests.ts";
import { isAppend } from "./writes.ts";

export interface DoorEvents {
  /** The kernel has agreed. */
  ready(agreed: Agreed): void;
  /** The device has ended, or the kernel is too old (then with a reason). */
  ended(errno: number, reason?: string): void;
}

export class Door {
  readonly #session: Session;
  readonly #pageBytes: number;
  readonly #openFiles: OpenFiles;
  readonly #invalidator: Invalidator;
  readonly #fs: FileSystem;
  readonly #log: Log;
  readonly #options: ChosenOptions;
  readonly #events: DoorEvents;
  readonly #exchange: Exchange;
  readonly #waiting: WaitingRequests;
  readonly #appends = new Appends();
  readonly #orphans: Orphans;
  readonly #replay: Replay;
  readonly #indexing: IndexPrograms;
  #serving = false;
  #closed = false;
  #journalFails = false;
  /** Called once this batch's replies have left. */
  #announce: (() => void) | undefined;
  /** Whether another process could take over. Known once the door is ready. */
  isReplaceable = false;
  /** The mount's, as in the mount table; undefined: not known yet. */
  device: string | undefined;

  constructor(
    addon: FuseAddon,
    { device, memory, isNewMemory }: Held,
    fs: FileSystem,
    options: ChosenOptions,
    events: DoorEvents,
  ) {
    this.#fs = fs;
    this.#log = options.log;
    this.#options = options;
    this.#events = events;
    this.#pageBytes = addon.pageBytes;
    this.#session = addon.serve(device, memory, sessionSettings(options), {
      onBatch: (count, ...names) => this.#serve(count, names),
      onForgotten: (inodes) => this.#orphans.forget(inodes as Ino[]),
      onEnd: (errno) => events.ended(errno),
    });
    const opens = new OpenTable(this.#session.opens, isNewMemory);
    this.#openFiles = new OpenFiles(opens);
    this.#exchange = new Exchange(this.#session, new Owners(options.owners), options.birthTimes);
    this.#orphans = new Orphans(this.#session, fs, options.log);
    this.#replay = new Replay(fs, this.#openFiles, this.#orphans, options.log);
    this.#indexing = new IndexPrograms(options.indexing, options.clock, options.log);
    this.#waiting = new WaitingRequests(options.clock, THREADS);
    this.#invalidator = new Invalidator(this.#session, this.#openFiles, fs, {
      ...options,
      used: () => usedInside(device, options.mountPoint),
    });
    const { handoff } = options.supervision ?? {};
    if (handoff !== undefined) this.#replay.begin();
    const { held, readers } = this.#openFiles;
    const locked = () => lockedFiles(this.device);
    fs.watchReaders({ ...readers, locked }, handoff && { held, isComplete: opens.isComplete });
    fs.watchOrphans((ino) => {
      if (this.#serving && this.#exchange.opcode === OPCODE.UNLINK)
        this.#openFiles.passing.removed(ino, this.#exchange.node, this.#exchange.name());
      // The kernel knows an inode whose last name a request removes, but perhaps not other inodes.
      this.#orphans.add(ino, this.#serving, this.#replay.isOver);
    });
    if (handoff !== undefined) this.#resume(handoff);
  }

  /** Takes over from an agent that ended. Which changes it had yet to report to the kernel is unknown. */
  #resume(agreed: Agreed): void {
    this.#agreed(agreed);
    if (agreed.flags2 & INIT2.HAS_RESEND) this.#session.resend();
    this.#invalidator.invalidate({ entries: [], inodes: [], all: true });
    queueMicrotask(() => this.#events.ready(agreed));
  }

  #agreed({ minor, flags, flags2 }: Agreed, mayRepeat = true): void {
    this.#exchange.hasAcls = offersAcls(flags);
    this.#openFiles.passing.allowed = (flags2 & INIT2.DIRECT_IO_ALLOW_MMAP) !== 0;
    this.#invalidator.minor = minor;
    this.isReplaceable = mayRepeat && this.#options.supervision !== undefined;
    if (!this.isReplaceable) return;
    if ((flags2 & INIT2.HAS_RESEND) === 0) this.#session.keepRequests();
    this.#session.leaveToSupervisor();
  }

  /** How many writes from the page cache have come. */
  get writeBacks(): number {
    return this.#openFiles.writeBacks;
  }

  invalidate(changes: Invalidations): void {
    this.#invalidator.invalidate(changes);
  }

  /** Ends serving. Removed files that the kernel held are released. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.giveUpAll();
    this.#invalidator[Symbol.dispose]();
    this.#session.close();
    this.#fs.watchOrphans(() => {});
    this.#orphans.forget(this.#orphans.all);
  }

  #serve(count: number, names: readonly string[]): void {
    const exchange = this.#exchange;
    exchange.start(count, names);
    let firstUnsent = 0;
    this.#serving = true;
    for (let row = 0; row < count; row++) {
      if (!exchange.hasRoom(MAX_WRITE_BYTES)) {
        this.#send(firstUnsent, row);
        exchange.outputSent();
        firstUnsent = row;
      }
      exchange.turnTo(row);
      this.#dispatch();
    }
    this.#serving = false;
    this.#send(firstUnsent, count);
    this.#announce?.();
    this.#announce = undefined;
    this.#replay.batchAnswered();
    if (this.#replay.isOver) this.#orphans.ask();
    this.#dropMisplaced();
  }

  #dropMisplaced(): void {
    const inodes = this.#openFiles.takeMisplaced();
    if (inodes.length > 0) this.#invalidator.invalidate({ entries: [], inodes, all: false });
  }

  /** Sends the replies of these rows once the journal is written: without it no change may look done. */
  #send(from: number, to: number): void {
    const errno = this.#commit();
    if (errno !== 0) this.#refuse(errno, from, to);
    this.#session.flush();
  }

  #refuse(errno: number, from: number, to: number): void {
    const exchange = this.#exchange;
    for (let row = from; row < to; row++) {
      exchange.turnTo(row);
      if (HANDLERS[exchange.opcode]?.mutates && exchange.succeeded) exchange.error(errno);
    }
  }

  /** 0, or the errno that tells why the journal cannot be written. */
  #commit(): number {
    try {
      this.#fs.persist();
      this.#journalFails = false;
      return 0;
    } catch (error) {
      if (!this.#journalFails) this.#log.error("the journal cannot be written", { error: describeError(error) });
      this.#journalFails = true;
      return errnoOf(error);
    }
  }

  #dispatch(): void {
    const exchange = this.#exchange;
    const { opcode } = exchange;
    const handler = HANDLERS[opcode];
    if (handler === undefined) {
      this.#control(opcode);
      return;
    }
    try {
      const answered = this.#replay.answers(exchange);
      if (answered === true) return;
      const later = answered || (this.#pause(handler) ?? this.#run(handler));
      if (later !== undefined) this.#defer(handler, later);
    } catch (error) {
      if (isPassing(error)) this.#defer(handler, error);
      else this.#fail(exchange.opcode, exchange.node, error);
    }
  }

  #pause(handler: HandlerEntry): Cause | undefined {
    return pauseOf(handler, this.#fs, this.#exchange, this.#appends.before(this.#exchange));
  }

  #control(opcode: number): void {
    const exchange = this.#exchange;
    if (opcode === OPCODE.INTERRUPT) {
      this.#waiting.signalled(exchange.ticket);
    } else if (opcode === OPCODE.INIT) {
      this.#init();
    } else {
      exchange.error(ERRNO.ENOSYS);
    }
  }

  #init(): void {
    // A new connection numbers its requests anew. Unless the journal records that, no request may be sent again.
    const mayRepeat = this.#forgetsAnswers();
    const agreed = negotiate(this.#exchange, { ...this.#options, pageBytes: this.#pageBytes, mayRepeat });
    if (typeof agreed === "string") {
      this.#announce = () => this.#events.ended(ERRNO.EPROTO, agreed);
    } else {
      this.#agreed(agreed, mayRepeat);
      this.#announce = () => this.#events.ready(agreed);
    }
  }

  #forgetsAnswers(): boolean {
    try {
      this.#fs.answers.forget();
      return true;
    } catch (error) {
      this.#log.warn("if this agent dies, nothing can replace it", { error: describeError(error) });
      return false;
    }
  }

  #defer(handler: HandlerEntry, cause: Cause): void {
    const { opcode, thread } = this.#exchange;
    const held = this.#exchange.hold();
    const givenUp = this.#waiting.add(held.ticket, thread, opcode === OPCODE.READ);
    this.#exchange.deferred();
    const lacks = opcode === OPCODE.READ && cause instanceof BlockMiss;
    // A promise means that it has run.
    const ended = cause instanceof Promise ? () => {} : this.#appends.wait(this.#exchange);
    const indexer = lacks ? this.#indexing.programOf(thread) : undefined;
    void this.#finish(handler, held, cause, givenUp, indexer).finally(ended);
    // The kernel may have reported a signal to the agent before this one, and does not report it again.
    if (held.unique < 0) this.#waiting.signalled(held.ticket);
  }

  /** Never rejects. */
  async #finish(handler: HandlerEntry, held: HeldRequest, cause: Cause, signal: AbortSignal, indexer?: string) {
    const exchange = this.#exchange;
    const release = this.#invalidator.hold(inodesOf(held, this.#fs));
    let waitFor: Cause | undefined = cause;
    try {
      for (let rounds = 0; waitFor !== undefined; rounds++) {
        if (rounds === MAX_LOADS) throw waitFor;
        if (waitFor instanceof Promise && isAppend(exchange)) this.#waiting.mustNotRepeat(held.ticket);
        const again: boolean = !(waitFor instanceof Promise);
        const count = await untilAborted(this.#wait(waitFor, signal, indexer), signal);
        exchange.resume(held);
        waitFor = again ? this.#tryAgain(handler) : undefined;
        if (!again) exchange.end(count);
      }
      const errno = this.#commit();
      if (errno !== 0 && handler.mutates && exchange.succeeded) exchange.error(errno);
    } catch (error) {
      exchange.resume(held);
      // An append that waits for its sync has already written its bytes: repeated, it would append them twice.
      if (signal.aborted && waitFor instanceof Promise && isAppend(exchange)) exchange.count(exchange.argument(1));
      else if (signal.aborted) exchange.error(ERRNO.EINTR);
      else this.#fail(held.opcode, held.node, error);
    }
    this.#session.answer(held.ticket);
    this.#fs.answers.answered(exchange.unique);
    this.#waiting.delete(held.ticket);
    release();
    this.#dropMisplaced();
  }

  async #wait(cause: Cause, signal: AbortSignal, indexer: string | undefined): Later {
    if (indexer !== undefined && cause instanceof BlockMiss) await this.#indexing.require(indexer, cause.cids);
    return over(cause, this.#fs, signal);
  }

  #run(handler: HandlerEntry): Later | void {
    const exchange = this.#exchange;
    try {
      return this.#replay.run(handler, exchange);
    } finally {
      if (exchange.opcode === OPCODE.READ) this.#indexing.dropAhead(exchange.thread);
    }
  }

  #tryAgain(handler: HandlerEntry): Cause | undefined {
    this.#serving = true;
    try {
      return this.#run(handler) ?? undefined;
    } catch (error) {
      if (isPassing(error)) return error;
      throw error;
    } finally {
      this.#serving = false;
    }
  }

  #fail(opcode: number, node: Ino, error: unknown): void {
    const exchange = this.#exchange;
    // Programs do not wait for this write: without it, pages would show bytes that are stored nowhere.
    const isStore = opcode === OPCODE.WRITE && (exchange.argument(2) & WRITE_CACHE) !== 0;
    if (isStore) this.#openFiles.misplaced(node);
    exchange.error(errnoOf(error));
    if (error instanceof FsError && !isStore) return;
    this.#log.error("a filesystem call failed", {
      operation: operationName(opcode),
      path: shownPath(this.#fs, node),
      error: describeError(error),
    });
  }
}

/** One call may need this many rounds of waiting. More means that blocks or room are used up as fast as they come. */
const MAX_LOADS = 1_000;
