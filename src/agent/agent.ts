/** An agent: one bucket, and the doors to it. */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import type { MasterAccess } from "../net/access.ts";
import type { ControlAnswers } from "./control.ts";
import type { DoorReport, DoorSetup } from "./doors/doors.ts";
import type { AgentStatus, FlushReport, UnmountReport } from "./reports.ts";

export interface AgentOptions {
  readonly address: string;
  /** One at least, of each kind at most one. In the order in which they are opened, and left. */
  readonly doors: readonly DoorSetup[];
  /** The state's folder, whose lock the caller holds. */
  readonly stateDir: string;
  /** Folder of all states: what was seen at the address is remembered there. */
  readonly stateRoot: string;
  /** Accepts the bucket at the address even if it is another one, or was set back. */
  readonly accept: boolean;
  /** Opens the wallet; called only when a device must be certified. A master needs it besides, for its tokens. */
  readonly wallet: () => Promise<WalletSigner>;
  /** This machine's name for the history; absent: none. */
  readonly machine?: string | undefined;
  /** How to get into a master. */
  readonly access: MasterAccess;
  readonly readOnly: boolean;
  /** An old state to show, as `--at` names it; implies readOnly. */
  readonly at: string | undefined;
  readonly publishedDurability: boolean;
  readonly readTimeoutMs: number;
  readonly cacheBytes: number;
  /** Whether it collects the bucket's garbage by itself, where it may write and the bucket is in a folder. */
  readonly collects: boolean;
  /** What others are answered, made of the agent's own answers: where it is a part of something. */
  readonly answers?: (own: ControlAnswers) => ControlAnswers;
  /** Called with the step of the start that is under way. */
  readonly onStep?: (what: string) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Agent {
  /** Those that are open. */
  readonly doors: readonly DoorReport[];
  status(): Promise<AgentStatus>;
  flush(): Promise<FlushReport>;
  /** Publishes what is pending, then closes the doors and ends. Throws `mount_busy` unless `lazy`. */
  unmount(timeoutMs: number, lazy: boolean): Promise<UnmountReport>;
  /** Ends waiting for the bucket, if an unmount does: what remains is left in the state. */
  hurry(): void;
  /** Resolves when the agent has ended and let go of everything, whoever ended it. Rejects when it ended by a failure. */
  readonly ended: Promise<UnmountReport>;
}
