/** Opens a bucket for writing, for commands without a mount. */
import { openCommandDevice, openCommandWriter } from "../../agent/command-writer.ts";
import type { CommandDevice, CommandWriter, CommandWriterOptions } from "../../agent/command-writer.ts";
import { stateRoot } from "../../agent/state/state-dir.ts";
import { silentLog } from "../../base/log.ts";
import type { Call } from "../command.ts";
import { type BucketOption, writingAccess } from "../master-access.ts";
import { loadWallet, machineNameOf } from "../wallet.ts";

/** Throws as `openCommandWriter`. */
export function openWriterFor(call: Call<BucketOption>, address: string): Promise<CommandWriter> {
  return openCommandWriter(optionsFor(call, address));
}

/** Throws as `openCommandDevice`. */
export function openDeviceFor(call: Call<BucketOption>, address: string): Promise<CommandDevice> {
  return openCommandDevice(optionsFor(call, address));
}

function optionsFor(call: Call<BucketOption>, address: string): CommandWriterOptions {
  const { env, clock, random } = call.runtime;
  return {
    address,
    stateRoot: stateRoot(env, call.options.state),
    wallet: () => loadWallet(call),
    machine: machineNameOf(call),
    access: writingAccess(call),
    accept: call.options.accept === true,
    clock,
    random,
    log: silentLog,
  };
}
