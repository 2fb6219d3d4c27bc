/** Opens what cannot be opened yet: tried with growing pauses until it succeeds. */
import type { Clock } from "../base/clock.ts";
import { RECONNECT_FIRST_MS, RECONNECT_MAX_MS } from "../base/limits.ts";

/** Undefined: `signal` ended the tries. `failed` is called after each failure, and may not throw. */
export async function openLate<Opened>(
  open: (signal: AbortSignal) => Promise<Opened>,
  failed: (error: unknown) => void,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Opened | undefined> {
  for (let retryMs = RECONNECT_FIRST_MS; !signal.aborted; retryMs = Math.min(retryMs * 2, RECONNECT_MAX_MS)) {
    try {
      return await open(signal);
    } catch (error) {
      if (!signal.aborted) failed(error);
    }
    await clock.sleep(retryMs, signal).catch(() => {});
  }
  return undefined;
}
