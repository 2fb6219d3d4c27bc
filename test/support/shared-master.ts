/** One master process for all tests of a group: starts before the first, ends after the last. */
import { afterAll, beforeAll } from "vitest";
import type { MasterConnection } from "../../src/net/master-connection.ts";
import { MasterProcess } from "./master-process.ts";

export interface SharedMaster {
  /** Closes the item before the master ends. */
  keep<Item extends AsyncDisposable>(item: Item): Item;
  /** A kept connection. */
  connect(): MasterConnection;
  /** The address of a new bucket. */
  newBucket(): string;
}

/** Call it where tests are described; use the result in tests and hooks. */
export function sharedMaster(): SharedMaster {
  let process: MasterProcess | undefined;
  const kept: AsyncDisposable[] = [];
  const running = () => {
    if (process === undefined) throw new Error("the master is not started yet");
    return process;
  };
  beforeAll(async () => {
    process = await MasterProcess.start();
  });
  afterAll(async () => {
    await Promise.all(kept.map((item) => item[Symbol.asyncDispose]()));
    await process?.end();
  });
  const shared: SharedMaster = {
    keep(item) {
      kept.push(item);
      return item;
    },
    connect: () => shared.keep(running().connect()),
    newBucket: () => running().newBucket(),
  };
  return shared;
}
