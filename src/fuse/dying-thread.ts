/** What the kernel knows of a thread: whether it is about to die, has died, or is to be frozen. */
import { readFileSync } from "node:fs";
import { failedWith } from "../base/system-errors.ts";
import { freezingThreads } from "./freezer.ts";
import type { Threads } from "./waiting-requests.ts";

/** The threads of this machine. */
export const THREADS: Threads = { isDying, isGone, freezing: (threads) => freezingThreads(threads) };

/**
 * Whether a fatal signal is pending for the thread, which ends a killable wait in the kernel (fatal_signal_pending in
 * include/linux/sched/signal.h). If a signal's default action ends the process, and it is not caught, ignored or blocked,
 * it becomes a SIGKILL for each thread when sent (complete_signal in kernel/signal.c). False if unknown: the thread is in
 * another PID namespace (0).
 */
export function isDying(thread: number): boolean {
  if (thread === 0) return false;
  try {
    return hasPendingKill(readFileSync(`/proc/${thread}/status`, "utf8"));
  } catch {
    // The thread waits for us, so it exists: this /proc belongs to another PID namespace.
    return false;
  }
}

/**
 * Whether the thread has ended. False if it is in another PID namespace (0). /proc may hide threads of others (hidepid in
 * proc(5)); kill(2) tells them from those that have ended.
 */
export function isGone(thread: number): boolean {
  if (thread === 0) return false;
  try {
    process.kill(thread, 0);
    return false;
  } catch (error) {
    return failedWith(error, "ESRCH");
  }
}

/** `status`: the text of /proc/PID/status (proc(5)). */
export function hasPendingKill(status: string): boolean {
  const pending = /^SigPnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n;
}

/** Signal n is bit n − 1. */
const SIGKILL_BIT = 1n << 8n;
