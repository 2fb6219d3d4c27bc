/** Starts an agent's background collection on a thread. Where the master collects, only the history is thinned. */
import type { Lamport } from "../../base/ids.ts";
import { describeError } from "../../base/log.ts";
import { parseAddress } from "../../bucket/address.ts";
import type { Genesis } from "../../format/commits/genesis.ts";
import { trustOf } from "../../net/access.ts";
import type { AgentOptions } from "../agent.ts";
import { prepareCollector, readRecord, thinHistory, writeRecord } from "../collector.ts";
import { collectorDirOf } from "../state/state-dir.ts";
import { BackgroundCollection, type BackgroundCollectionOptions } from "./background-collection.ts";
import { collectOnThread } from "./collector-thread.ts";

type CollectingOptions = Pick<
  AgentOptions,
  "address" | "access" | "stateDir" | "stateRoot" | "wallet" | "clock" | "random" | "log"
>;

/** Makes the collector's device, or renews its certificate. If the wallet is out of reach, the log says so. */
export async function prepareCollection(
  { stateDir, wallet, clock, random, log }: CollectingOptions,
  genesis: Genesis,
): Promise<void> {
  try {
    await prepareCollector({ stateDir, genesis, wallet, clock, random });
  } catch (error) {
    log.warn(`Garbage will not be collected: ${describeError(error)}`);
  }
}

/** `seq`: the base's, while the bucket is in reach. `done` is called after each collection. */
export function startCollecting(
  options: CollectingOptions,
  genesis: Genesis,
  seq: () => Lamport | undefined,
  done: () => void,
): BackgroundCollection {
  const { address, access, stateDir, stateRoot, clock, random, log } = options;
  const job = { address, stateDir: collectorDirOf(stateDir), stateRoot };
  const parsed = parseAddress(address);
  // The collecting thread has no wallet to sign with.
  const isCollected = parsed.isPacked && !(parsed.scheme === "s3" && parsed.auth === "wallet");
  const collect: BackgroundCollectionOptions["collect"] = (known, many, signal) =>
    isCollected
      ? collectOnThread({ ...job, trust: trustOf(access), known, many }, clock, signal)
      : thinHistory({ ...job, access, clock, random, log }, known, many, signal);
  return new BackgroundCollection({
    seq,
    collect: async (...asked) => {
      await prepareCollection(options, genesis);
      return collect(...asked).finally(done);
    },
    record: readRecord(stateDir),
    keep: (record) => writeRecord(stateDir, record),
    clock,
    random,
    log,
  });
}
