/** An agent: one bucket, and the doors to it. */
import type { Ports } from "../base/ports.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import type { Supervision } from "../fuse/supervisor.ts";
import type { MasterAccess } from "../net/access.ts";
import type { ControlAnswers } from "./control.ts";
import type { DoorReport, DoorSetup } from "./doors/doors.ts";
import type { AgentStatus, FlushReport, UnmountReport } from "./reports.ts";
import type { SharedBytes } from "./threads/shared-bytes.ts";

export interface AgentOptions extends Ports {
  readonly address: string;
  /** At least one, at most one of each kind, in the order in which they are opened and closed. */
  readonly doors: readonly DoorSetup[];
  /** The state's folder, whose lock the caller holds. */
  readonly stateDir: string;
  /** The folder of all states; it also records what was seen at the address. */
  readonly stateRoot: string;
  /** Accepts the bucket at the address even if it is another one, or was set back. */
  readonly accept: boolean;
  /** Opens the wallet. Called only to certify a device, and to sign a master's tokens. */
  readonly wallet: () => Promise<WalletSigner>;
  /** This machine's name for the history; absent: none. */
  readonly machine?: string | undefined;
  /** How to sign in to a master. */
  readonly access: MasterAccess;
  readonly readOnly: boolean;
  /** An old state to show, as `--at` names it; implies readOnly. */
  readonly at: string | undefined;
  readonly publishedDurability: boolean;
  readonly readTimeoutMs: number;
  readonly cacheBytes: number;
  /** Counts the bytes in data files, if `cacheBytes` also limits them. Absent: only the disk limits them. */
  readonly unpublished?: SharedBytes | undefined;
  /** How long an ending agent publishes, unless the caller of `unmount` says otherwise. */
  readonly drainMs: number;
  /** Whether the agent collects the bucket's garbage, if it may write: at a master it only thins the history. */
  readonly collects: boolean;
  /** How another process takes over a mount if this one dies. Absent: the mount ends with this process. */
  readonly supervision?: Supervision | undefined;
  /** For an agent that is part of something: makes the answers to callers from the agent's own. */
  readonly answers?: (own: ControlAnswers) => ControlAnswers;
  /** Called with the step of the start that is under way. */
  readonly onStep?: (what: string) => void;
  /** Called with what the person who starts the agent must know. */
  readonly onNotice?: (text: string) => void;
}

export interface Agent {
  readonly doors: readonly DoorReport[];
  status(): Promise<AgentStatus>;
  flush(): Promise<FlushReport>;
  /** Publishes what is pending, for at most `drainMs`, then closes the doors and ends. Throws `mount_busy` unless `lazy`. */
  unmount(drainMs: number, lazy: boolean): Promise<UnmountReport>;
  /** Stops an unmount from waiting for the bucket: what remains stays in the state. */
  hurry(): void;
  /** Resolves when the agent has ended and released everything, whatever ended it. Rejects when a failure ended it. */
  readonly ended: Promise<UnmountReport>;
}
