/** Time as a port: the simulator brings its own. The only place that reads the machine's clock or sets timers. */
export interface Clock {
  /** Wall-clock time in nanoseconds since 1970 (Unix time). For records and display, never for order. */
  nowNs(): bigint;
  /** Milliseconds that only grow; for time-outs and intervals. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `action` once after `ms`, unless the returned handle is disposed first. */
  after(ms: number, action: () => void): Disposable;
}

export const systemClock: Clock = {
  nowNs: () =>
    BigInt(Math.round(performance.timeOrigin * 1_000)) * 1_000n + BigInt(Math.round(performance.now() * 1e6)),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
