/** The thread of one garbage collection: it has the lowest priority, and a memory bound of its own. */
import { parentPort, type MessagePort } from "node:worker_threads";
import { systemClock } from "../../base/clock.ts";
import { SynclineError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { trustedAccess } from "../../net/access.ts";
import { blockListBytes } from "../../runtime/memory.ts";
import { runLast } from "../../runtime/priority.ts";
import { collectIfNeeded } from "../../bucket/gc/need.ts";
import { openPacked } from "../../bucket/open-remote.ts";
import { openCollector } from "../collector.ts";
import type { CollectorMethods } from "./collector-thread.ts";
import { answerCalls } from "./rpc.ts";

if (parentPort === null) throw new SynclineError("internal", "This file must run as a worker thread.");
serve(parentPort);

function serve(port: MessagePort): void {
  runLast();
  const stop = new AbortController();
  answerCalls<CollectorMethods>(port, {
    async collect({ address, stateDir, stateRoot, trust, known, many }) {
      const ports = { clock: systemClock, random: systemRandom, access: trustedAccess(noWallet, trust, systemClock) };
      await using remote = await openPacked(address, ports);
      const { opened, writer } = await openCollector({ address, stateDir, stateRoot, log: silentLog, ...ports });
      await using _ = opened;
      const { store } = remote;
      const memoryBytes = blockListBytes("agent");
      const options = {
        bucket: opened.bucket,
        store,
        writer: writer.writer,
        signal: stop.signal,
        memoryBytes,
        ...ports,
      };
      return await collectIfNeeded(options, known, many);
    },
    stop: () => stop.abort(new SynclineError("no_agent", "The agent is shutting down.")),
  });
}

function noWallet(): never {
  throw new SynclineError("key_locked", "The thread that collects garbage has no wallet.");
}
