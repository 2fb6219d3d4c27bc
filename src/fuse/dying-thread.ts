/** Whether a thread is about to die, as the kernel sees it. */
import { readFileSync } from "node:fs";

/**
 * Whether a fatal signal is pending for the thread: what ends a killable wait in the kernel (fatal_signal_pending in
 * include/linux/sched/signal.h). A signal whose default action ends the process, and that is neither caught, ignored nor blocked, becomes a
 * SIGKILL for each of its threads when it is sent (complete_signal in kernel/signal.c). False when it cannot be seen: the thread is
 * in another PID namespace (0).
 */
export function isDying(thread: number): boolean {
  if (thread === 0) return false;
  try {
    return hasPendingKill(readFileSync(`/proc/${thread}/status`, "utf8"));
  } catch {
    // A thread that waits for us is there: this /proc is that of another PID namespace.
    return false;
  }
}

/** `status`: the text of /proc/PID/status (proc(5)). */
export function hasPendingKill(status: string): boolean {
  const pending = /^SigPnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${pending}`) & SIGKILL_BIT) !== 0n;
}

/** Signal n is bit n − 1. */
const SIGKILL_BIT = 1n << 8n;
