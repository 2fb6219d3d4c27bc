/**
 * A folder's disk under a process that may die: some calls are slow; a dead process's calls do nothing and never return.
 */
import { SynclineError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { AppendFile, DiskFile, SyncDisk } from "../../sync/disk/disk.ts";
import type { SimulatedProcess } from "../process.ts";

export function mortalDisk(disk: SyncDisk, process: SimulatedProcess, random: Random): SyncDisk {
  const { clock } = process;
  const living = async <Result>(call: () => Promise<Result>): Promise<Result> => {
    if (random.fraction() < SLOW_CALLS) await clock.sleep(random.fraction() * SLOW_MS);
    await process.alive();
    const result = await call();
    await process.alive();
    return result;
  };
  const mortal = <Target extends object>(target: Target): Target =>
    new Proxy(target, {
      get: (_, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        const call = value.bind(target) as (...args: unknown[]) => unknown;
        if (property === "openAppend")
          return (...args: unknown[]) => mortalAppends(call(...args) as AppendFile, process);
        if (property === "close" && target === (disk as object)) return call;
        return async (...args: unknown[]) => {
          const result = await living(async () => call(...args));
          return isFile(result) ? mortal(result) : result;
        };
      },
    });
  return mortal(disk);
}

function isFile(result: unknown): result is DiskFile {
  return typeof result === "object" && result !== null && "truncate" in result;
}

function mortalAppends(file: AppendFile, process: SimulatedProcess): AppendFile {
  const check = () => {
    if (process.isDead) throw new SynclineError("internal", "A dead process appended to a file.");
  };
  return {
    append: (text) => {
      check();
      file.append(text);
    },
    clear: () => {
      check();
      file.clear();
    },
    close: () => file.close(),
  };
}

/** The fraction of calls that are slow, so that other actors run in between. */
const SLOW_CALLS = 0.1;
const SLOW_MS = 20;
