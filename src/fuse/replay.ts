/**
 * Requests that the kernel sends again to an agent that replaces another one. Most may simply be executed again. Those
 * below would answer differently the second time, so the journal keeps their result with their change.
 */
import type { Ino } from "../base/ids.ts";
import type { FileSystem } from "../vfs/filesystem.ts";
import type { Exchange } from "./exchange.ts";
import type { Log } from "../base/log.ts";
import { errnoOf } from "./failure.ts";
import type { HandlerEntry, Later } from "./handler.ts";
import type { OpenFiles } from "./open-files.ts";
import type { Orphans } from "./orphans.ts";
import { OPCODE } from "./protocol.ts";
import { counted, used, isAppend } from "./writes.ts";

const CREATING: ReadonlySet<number> = new Set([OPCODE.CREATE, OPCODE.TMPFILE]);
const NAMING: ReadonlySet<number> = new Set([OPCODE.MKNOD, OPCODE.MKDIR, OPCODE.SYMLINK, OPCODE.LINK]);
const OTHERS: ReadonlySet<number> = new Set([
  OPCODE.UNLINK,
  OPCODE.RMDIR,
  OPCODE.RENAME2,
  OPCODE.SETXATTR,
  OPCODE.REMOVEXATTR,
]);

export class Replay {
  readonly #fs: FileSystem;
  readonly #openFiles: OpenFiles;
  readonly #orphans: Orphans;
  readonly #log: Log;
  readonly #counts = { resent: 0, executedBefore: 0 };
  #isOver = true;
  /** Whether this batch has a request that is not a repeated one. All repeated ones come before it. */
  #isEnding = false;

  constructor(fs: FileSystem, openFiles: OpenFiles, orphans: Orphans, log: Log) {
    this.#fs = fs;
    this.#openFiles = openFiles;
    this.#orphans = orphans;
    this.#log = log;
  }

  /** Whether all repeated requests have come. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Called if this agent replaces another one. */
  begin(): void {
    this.#isOver = false;
  }

  /** Executes a request. The journal gets its result with its change. Throws and returns as the handler does. */
  run(handler: HandlerEntry, exchange: Exchange): void | Later {
    const { answers } = this.#fs;
    if (!isRemembered(exchange)) return handler.run(this.#fs, exchange, this.#openFiles);
    answers.request = exchange.unique;
    try {
      const later = handler.run(this.#fs, exchange, this.#openFiles);
      if (later !== undefined) answers.keep(exchange.unique);
      return later;
    } finally {
      answers.request = 0;
    }
  }

  /** Answers a request that an agent executed and did not answer, or promises to, as a handler does; false for others. */
  answers(exchange: Exchange): boolean | Later {
    if (this.#isOver) return false;
    const { answers } = this.#fs;
    if (!exchange.isResent) {
      this.#isEnding = true;
      return false;
    }
    this.#counts.resent++;
    const made = answers.of(exchange.unique);
    if (made === undefined) return false;
    this.#counts.executedBefore++;
    const later = this.#answer(exchange, made);
    if (later === undefined) return true;
    answers.keep(exchange.unique);
    return later;
  }

  /** The replies of a batch have left. Before that, another agent may yet need the results of this batch. */
  batchAnswered(): void {
    if (!this.#isEnding) return;
    this.#isEnding = false;
    try {
      this.#fs.answers.forget();
    } catch {
      // The journal has no room for this. The next request tries again.
      return;
    }
    this.#isOver = true;
    this.#log.info("Took over from an agent that ended.", this.#counts);
  }

  #answer(exchange: Exchange, made: Ino | 0): void | Later {
    const { opcode } = exchange;
    if (opcode === OPCODE.WRITE) {
      // The kernel may cache an append's bytes at the wrong offset.
      this.#openFiles.misplaced(exchange.node);
      return counted(this.#fs, exchange);
    }
    if (made === 0) return exchange.done();
    try {
      const attributes = this.#fs.getAttributes(made);
      if (CREATING.has(opcode))
        exchange.created(
          attributes,
          this.#openFiles.open(exchange.unique, made, used(this.#fs, made, exchange.argument(1))),
        );
      else exchange.entry(attributes);
      this.#orphans.told(made);
    } catch (error) {
      // Another program has removed it meanwhile.
      exchange.error(errnoOf(error));
    }
  }
}

/** Whether a second execution would give a different answer or make a different change. */
function isRemembered(exchange: Exchange): boolean {
  const { opcode } = exchange;
  return CREATING.has(opcode) || NAMING.has(opcode) || OTHERS.has(opcode) || isAppend(exchange);
}
