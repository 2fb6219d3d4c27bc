/** One master process for all tests of a group: started before the first of them, ended after the last. */
import { afterAll, beforeAll } from "vitest";
import type { MasterConnection } from "../../src/net/master-connection.ts";
import { MasterProcess } from "./master-process.ts";

export interface SharedMaster {
  /** Closed before the master ends. */
  keep<Item extends AsyncDisposable>(item: Item): Item;
  /** A connection that is kept. */
  connect(): MasterConnection;
  /** The address of a bucket that was not used before. */
  newBucket(): string;
}

/** To be called where tests are described; used within them, and in what runs before them. */
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
