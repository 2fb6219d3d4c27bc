/** A session without a kernel. A test sends requests, and sees in `done` how the door answers them. */
import type { FuseAddon, Session, SessionHandlers } from "../../src/fuse/addon.ts";
import { CELL, ENTRY, OPCODE, OUTPUT_BYTES, REPLY, ROW_CELLS, SOLO_ROW } from "../../src/fuse/protocol.ts";

export interface FakeRequest {
  readonly opcode: keyof typeof OPCODE;
  /** Negative for a repeated request. */
  readonly unique: number;
  readonly node?: number;
  readonly thread?: number;
  /** The caller's number, as the kernel knows it. */
  readonly uid?: number;
  readonly arguments?: readonly number[];
  readonly name?: string;
  readonly secondName?: string;
}

export class FakeSession {
  /** What the door did, in order, such as "answer LOOKUP 2" (the kind of the reply), "list 3" (entries), "watch 5", "probe 5", "drop pages of 5". */
  readonly done: string[] = [];
  /** The inodes that messages are held for. */
  readonly held: number[] = [];
  /** Whether the agent is killed as soon as it sends replies. `send` then throws. */
  dies = false;
  readonly addon: FuseAddon;
  readonly #cells = new Float64Array(ENTRY.AT + ENTRY.MOST * ENTRY.CELLS);
  readonly #deferred = new Map<number, string>();
  #handlers: SessionHandlers | undefined;
  #rows: readonly FakeRequest[] = [];
  #ticket = 0;

  constructor() {
    const serve: FuseAddon["serve"] = (_device, _slots, _settings, handlers) => {
      this.#handlers = handlers;
      return this.#session();
    };
    this.addon = { serve, pageBytes: 4096 } as FuseAddon;
  }

  /** A batch of requests, as the kernel sends it. */
  send(...requests: readonly FakeRequest[]): void {
    this.#rows = requests;
    for (const [row, request] of requests.entries()) {
      const cells = this.#cells.subarray(row * ROW_CELLS, (row + 1) * ROW_CELLS).fill(0);
      cells[CELL.OPCODE] = OPCODE[request.opcode];
      cells[CELL.TICKET] = ++this.#ticket;
      cells[CELL.NODE] = request.node ?? 1;
      cells[CELL.THREAD] = request.thread ?? 0;
      cells[CELL.UID] = request.uid ?? 0;
      cells[CELL.FIRST_NAME] = 2 * row;
      cells[CELL.UNIQUE] = request.unique;
      cells.set(request.arguments ?? [], CELL.ARGUMENT);
    }
    this.#handlers?.onBatch(
      requests.length,
      ...requests.flatMap(({ name = "", secondName = "" }) => [name, secondName]),
    );
    this.#flush();
  }

  #flush(): void {
    for (const [row, { opcode }] of this.#rows.entries()) {
      const kind = this.#cells[row * ROW_CELLS + CELL.KIND] ?? REPLY.NONE;
      if (kind === REPLY.DEFERRED) this.#deferred.set(this.#cells[row * ROW_CELLS + CELL.TICKET] ?? 0, opcode);
      else this.done.push(`answer ${opcode} ${this.#told(row * ROW_CELLS)}`);
    }
    this.#rows = [];
  }

  /** The kind of a reply, and its errno. */
  #told(at: number): string {
    const kind = this.#cells[at + CELL.KIND];
    return kind === REPLY.ERROR ? `error ${this.#cells[at + CELL.VALUE]}` : `kind ${kind}`;
  }

  #session(): Session {
    const note = (text: string) => void this.done.push(text);
    return {
      cells: this.#cells,
      times: new BigInt64Array(this.#cells.buffer),
      input: Buffer.alloc(4_096),
      output: Buffer.alloc(OUTPUT_BYTES),
      entryNames: Buffer.alloc(ENTRY.MOST * 256),
      flush: () => {
        if (this.dies) throw new Error("killed");
        this.#flush();
      },
      answer: (ticket) => {
        note(`answer ${this.#deferred.get(ticket)} ${this.#told(SOLO_ROW)}`);
        return this.#deferred.delete(ticket);
      },
      packEntries: (count) => {
        note(`list ${count}`);
        return 0;
      },
      watch: (ino, probe) => note(`${probe === 1 ? "probe" : "watch"} ${ino}`),
      resend: () => note("resend"),
      keepRequests: () => note("keep requests"),
      leaveToSupervisor: () => {},
      invalidateInode: (ino) => note(`drop pages of ${ino}`),
      invalidateEntry: () => {},
      expireEntry: () => {},
      holdMessages: (ino) => void this.held.push(ino),
      releaseMessages: (ino) => void this.held.splice(this.held.indexOf(ino), 1),
      incrementEpoch: () => {},
      close: () => {},
    };
  }
}

/** Of an agent whose supervisor runs already. */
export const SUPERVISION = {
  log: "",
  cwd: "",
  command: [],
  program: [],
  env: {},
  mayResend: true,
  place: { stateRoot: "", mount: "", connection: "" },
  isInherited: true,
};
