/** An agent: one mount of one bucket. This thread publishes and answers the control socket; a worker serves the filesystem. */
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { WalletSigner } from "../crypto/wallet.ts";
import type { MasterAccess } from "../net/access.ts";
import { removeOverlay } from "../overlay/disk-storage.ts";
import { openBucket } from "./open-bucket.ts";
import type { AgentStatus, FlushReport, UnmountReport } from "./reports.ts";
import { boundMemory } from "./memory.ts";
import { RunningAgent } from "./running-agent.ts";
import { cacheDirOf } from "./state-dir.ts";
import { GENESIS, startOver } from "./start-over.ts";
import { readStateFile, writeStateFile } from "./state-file.ts";
import { openToWrite, type WritingBucket } from "./writing-bucket.ts";

export interface AgentOptions {
  readonly address: string;
  /** Absolute. */
  readonly mount: string;
  /** The state's folder, whose lock the caller holds. */
  readonly stateDir: string;
  /** Opens the wallet; called only when a device must be certified. A master needs it besides, for its tokens. */
  readonly wallet: () => Promise<WalletSigner>;
  /** How to get into a master. */
  readonly access: MasterAccess;
  readonly readOnly: boolean;
  /** An old state to show, as `--at` names it; implies readOnly. */
  readonly at: string | undefined;
  readonly publishedDurability: boolean;
  readonly readTimeoutMs: number;
  readonly cacheBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Agent {
  status(): Promise<AgentStatus>;
  flush(): Promise<FlushReport>;
  /** Publishes what is pending, then unmounts and ends. Throws `mount_busy` unless `lazy`. */
  unmount(timeoutMs: number, lazy: boolean): Promise<UnmountReport>;
  /** Ends waiting for the bucket, if an unmount does: what remains is left in the state. */
  hurry(): void;
  /** Resolves when the agent has ended and let go of everything, whoever ended it. Rejects when it ended by a failure. */
  readonly ended: Promise<UnmountReport>;
}

/** Opens the bucket and the overlay, mounts, and serves until the end. Throws as these do, and leaves nothing behind. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  boundMemory();
  const { opened, writer } = await openAgentBucket(options);
  const agent = new RunningAgent(options, opened, writer);
  try {
    await agent.start();
    return agent;
  } catch (error) {
    await agent.abandon();
    throw error;
  }
}

async function openAgentBucket(options: AgentOptions): Promise<Partial<WritingBucket> & Pick<WritingBucket, "opened">> {
  const { address, stateDir, wallet, access, readOnly, at, cacheBytes, clock, random, log } = options;
  if (at !== undefined) removeOverlay(stateDir);
  await startOver(options);
  const genesisPath = join(stateDir, GENESIS);
  const genesis = readStateFile(genesisPath);
  const cache = { dir: cacheDirOf(stateDir), bytes: cacheBytes };
  const bucket = { address, access, clock, random, log, genesis, cache };
  const reads = readOnly || at !== undefined;
  const result = reads ? { opened: await openBucket(bucket) } : await openToWrite({ ...bucket, stateDir, wallet });
  writeStateFile(genesisPath, result.opened.bucket.genesis.bytes);
  return result;
}
