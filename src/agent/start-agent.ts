/** Starts an agent: this thread publishes and answers the control socket; a worker serves the filesystem. */
import { join } from "node:path";
import { describeError } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import { RootWitness } from "../bucket/root-witness.ts";
import { removeOverlay } from "../overlay/disk/disk-storage.ts";
import type { BaseRoot } from "../overlay/journal/journal-record.ts";
import type { Agent, AgentOptions } from "./agent.ts";
import { recoverLost } from "./command-writer.ts";
import { prepareDoors } from "./doors/prepare-doors.ts";
import { openBucket } from "./open-bucket.ts";
import { boundHeaps } from "../runtime/memory.ts";
import { RunningAgent } from "./running-agent.ts";
import { givenUp } from "./state/given-up.ts";
import { LAST_BASE, parseBase } from "./state/last-base.ts";
import { rootFile } from "./state/root-file.ts";
import { cacheDirOf, inUseDirOf, pinnedDirOf } from "./state/state-dir.ts";
import { GENESIS, startOver } from "./state/start-over.ts";
import { readStateFile, writeStateFile } from "./state/state-file.ts";
import { FilesystemThread } from "./threads/filesystem-thread.ts";
import { readShared } from "./threads/shared-bytes.ts";
import { prepareCollection } from "./threads/start-collecting.ts";
import { type AgentBucket, openToWrite } from "./writing-bucket.ts";

/** Opens the bucket and the overlay, mounts, and serves until the end. Throws as these do and cleans up. */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  options.onStep?.("opening the bucket");
  const thread = new FilesystemThread(options.log, options.access);
  const prepared = prepareDoors(options);
  // Reported in the order of the steps.
  prepared.catch(() => {});
  let agent: RunningAgent | undefined;
  try {
    agent = new RunningAgent(options, await openAgentBucket(options), thread);
    await agent.start(prepared);
    boundHeaps();
    return agent;
  } catch (error) {
    await (agent?.abandon() ?? thread.end());
    throw error;
  }
}

async function openAgentBucket(options: AgentOptions): Promise<AgentBucket> {
  const { address, stateDir, stateRoot, wallet, machine, access, readOnly, at, accept, cacheBytes } = options;
  const { unpublished } = options;
  const { clock, random, log } = options;
  if (at !== undefined) removeOverlay(stateDir);
  const memory = rootFile(stateRoot, address);
  const reads = readOnly || at !== undefined;
  const last = parseBase(readStateFile(join(stateDir, LAST_BASE)));
  if (accept && !reads) await recoverLost(options, last === undefined ? [] : [last.commit]);
  // Programs wait for an agent that takes over, so it does not ask the bucket. The agent before it has checked this.
  const takesOver = options.supervision?.handoff !== undefined;
  const shown = takesOver ? undefined : await startOver({ ...options, memory });
  const genesisPath = join(stateDir, GENESIS);
  const genesis = readStateFile(genesisPath);
  const taken = unpublished && { taken: () => readShared(unpublished) };
  const cache = {
    dir: cacheDirOf(stateDir),
    bytes: cacheBytes,
    pinnedDir: pinnedDirOf(stateDir),
    inUseDir: inUseDirOf(stateDir),
    ...taken,
  };
  const witness = new RootWitness(memory, { accept });
  const bucket = { address, access, clock, random, log, genesis, cache, witness };
  const result = reads
    ? { opened: await openBucket(bucket) }
    : await openToWrite({ ...bucket, stateDir, wallet, machine, takesOver });
  writeStateFile(genesisPath, result.opened.bucket.genesis.bytes);
  if (shown !== undefined) await tellGivenUp(options, result.opened.bucket, shown);
  // Done while the wallet is at hand: when the first collection is due, hours later, nobody may be there to open it.
  if (!reads && !takesOver && options.collects) await prepareCollection(options, result.opened.bucket.genesis);
  return result;
}

/** Tells how what the agent showed `last` differs from what was accepted. */
async function tellGivenUp({ log, onNotice }: AgentOptions, bucket: Bucket, last: BaseRoot): Promise<void> {
  try {
    const found = await givenUp(bucket, last);
    if (found === undefined) return;
    const { root, accepted, names } = found;
    log.warn("Gave up what was shown last.", { root, accepted, names: names ?? "unknown" });
    const differ = names === undefined ? "" : ` ${names} ${names === 1 ? "name differs" : "names differ"}.`;
    onNotice?.(`Accepted an older state. The newer root ${root} was shown here last.${differ}`);
  } catch (error) {
    log.warn(`What the accepted root lacks is not known: ${describeError(error)}`, { root: last.commit });
  }
}
