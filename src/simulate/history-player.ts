/** Plays histories on this thread, or on a thread of its own (history-worker.ts). */
import { Worker } from "node:worker_threads";
import { createCaller } from "../agent/threads/rpc.ts";
import { SynclineError } from "../base/errors.ts";
import type { Beginning } from "./beginning.ts";
import { type HistoryChunk, playChunk } from "./history-chunk.ts";
import type { Sabotage } from "./sabotage.ts";

export interface HistoryPlayer {
  /** Plays `many` histories from number `first` on, and stops at the first failure. */
  play(first: number, many: number): Promise<HistoryChunk>;
  end(): Promise<unknown>;
}

/** The methods of the thread. */
export type HistoryMethods = {
  play(asked: {
    readonly first: number;
    readonly many: number;
    readonly sabotage: Sabotage | undefined;
  }): Promise<HistoryChunk>;
};

export function localPlayer(beginning: Beginning, sabotage: Sabotage | undefined): HistoryPlayer {
  return { play: (first, many) => playChunk(beginning, first, many, sabotage), end: async () => {} };
}

export function threadPlayer(sabotage: Sabotage | undefined): HistoryPlayer {
  const worker = new Worker(new URL("history-worker.js", import.meta.url), { name: "histories" });
  const { call, stop } = createCaller<HistoryMethods>(worker);
  const died = (cause?: unknown) =>
    stop(new SynclineError("internal", "A worker thread that plays histories ended.", { cause }));
  worker.once("error", died);
  worker.once("exit", () => died());
  return { play: (first, many) => call("play", { first, many, sabotage }), end: () => worker.terminate() };
}
