/** A thread that plays histories. */
import { parentPort } from "node:worker_threads";
import { answerCalls } from "../agent/threads/rpc.ts";
import { SynclineError } from "../base/errors.ts";
import { Beginning } from "./beginning.ts";
import { playChunk } from "./history-chunk.ts";
import type { HistoryMethods } from "./history-player.ts";

if (parentPort === null) throw new SynclineError("internal", "This file must run as a worker thread.");
const beginning = Beginning.make();
answerCalls<HistoryMethods>(parentPort, {
  play: async ({ first, many, sabotage }) => playChunk(await beginning, first, many, sabotage),
});
