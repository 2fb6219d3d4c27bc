/** The publishing thread's handle on the thread that serves the filesystem (vfs-worker.ts). */
import type { Worker } from "node:worker_threads";
import { SynclineError } from "../../base/errors.ts";
import type { PackName } from "../../base/ids.ts";
import { describeError, type Log } from "../../base/log.ts";
import type { MasterAccess } from "../../net/access.ts";
import type { DirtyReason } from "../../vfs/dirty-signal.ts";
import type { BegunFile } from "../../vfs/objects.ts";
import type { FlushReport } from "../reports.ts";
import { takeWorker } from "./filesystem-worker.ts";
import { answerCalls, createCaller, type Caller } from "./rpc.ts";
import type { MainMethods, WorkerEvent, WorkerMethods } from "./threads.ts";

export interface ThreadListener {
  dirty(reason: DirtyReason): void;
  /** A large file is written in order up to here. */
  begun(file: BegunFile): void;
  /** A read showed that this pack is missing or damaged. */
  doubted(pack: PackName): void;
  /** The mount is gone, whatever ended it. */
  unmounted(): void;
  /** The thread wants all changes published. */
  flush(): Promise<FlushReport>;
  /** The thread ended by itself; calls now fail with this error. */
  died(error: SynclineError): void;
}

export class FilesystemThread {
  /** After the thread's end every call is rejected. */
  readonly call: Caller<WorkerMethods>;
  readonly #worker: Worker;
  readonly #stopCalls: (error: Error) => void;
  readonly #log: Log;
  #listener: ThreadListener | undefined;
  #ended = false;

  /** Starts the thread, which loads its code meanwhile. */
  constructor(log: Log, access: MasterAccess) {
    this.#worker = takeWorker();
    this.#log = log;
    const caller = createCaller<WorkerMethods>(this.#worker);
    this.call = caller.call;
    this.#stopCalls = caller.stop;
    answerCalls<MainMethods>(this.#worker, {
      flush: () => this.#listening.flush(),
      token: (origin) => access.bearer(origin).token(),
      refused: ({ origin, token }) => access.bearer(origin).refused(token),
    });
    this.#worker.on("message", (event: WorkerEvent) => this.#heard(event));
    this.#worker.once("error", (error) => this.#died(error));
    this.#worker.once("exit", (status) => this.#died(new Error(`exit status ${status}`)));
  }

  /** To be called before `call`: until then, the thread has nothing to tell. */
  listen(listener: ThreadListener): void {
    this.#listener = listener;
  }

  /** Closes the filesystem and ends the thread. An error matters only if the bucket lacks changes. */
  async close({ isPublished }: { readonly isPublished: boolean }): Promise<void> {
    try {
      await this.call("close", undefined);
    } catch (error) {
      if (!isPublished) throw error;
      this.#log.warn(`The filesystem was not closed in order: ${describeError(error)}`);
    }
    await this.end();
  }

  /** Ends the thread; pending calls are rejected with `no_agent`. */
  async end(): Promise<void> {
    this.#ended = true;
    // Node.js crashes if a thread is terminated while it loads its code.
    await this.call("loaded", undefined).catch(() => {});
    this.#stopCalls(new SynclineError("no_agent", "The agent is shutting down."));
    await this.#worker.terminate();
  }

  #heard(event: WorkerEvent): void {
    switch (event.event) {
      case "dirty":
        return this.#listening.dirty(event.reason);
      case "begun":
        return this.#listening.begun(event.file);
      case "doubted":
        return this.#listening.doubted(event.pack);
      case "unmounted":
        return this.#listening.unmounted();
      case "log":
        return this.#log[event.level](event.message);
    }
  }

  #died(cause: unknown): void {
    if (this.#ended) return this.#stopCalls(new SynclineError("no_agent", "The agent is shutting down."));
    this.#ended = true;
    this.#log.error(
      `The filesystem thread ended unexpectedly: ${cause instanceof Error ? cause.stack : String(cause)}`,
    );
    const error = new SynclineError("internal", "The filesystem thread ended unexpectedly.", {
      // The journal holds every answered write.
      hint: "No written data is lost. Mount again to continue.",
      cause,
    });
    this.#stopCalls(error);
    this.#listener?.died(error);
  }

  get #listening(): ThreadListener {
    if (this.#listener !== undefined) return this.#listener;
    throw new SynclineError("internal", "The filesystem thread reports to nobody.");
  }
}
