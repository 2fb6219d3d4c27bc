/** A command line without a process: captured text streams, and an environment of its own. */
import { PassThrough, Writable } from "node:stream";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Runtime } from "../../src/cli/runtime.ts";
import { StartFiles } from "../../src/cli/start-files.ts";

export interface FakeRuntime extends Runtime {
  out(): string;
  err(): string;
}

export function createFakeRuntime(
  env: NodeJS.ProcessEnv,
  options: { environmentKey?: string; input?: string; terminal?: boolean } = {},
): FakeRuntime {
  const { terminal = false } = options;
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const stdin = Object.assign(new PassThrough(), { isTTY: terminal });
  if (options.input !== undefined) stdin.end(options.input);
  return {
    env: { XDG_CONFIG_HOME: "/nowhere", ...env },
    environmentKey: options.environmentKey,
    files: new StartFiles(),
    stdin,
    stdout: collector(out, terminal),
    stderr: collector(err, terminal),
    clock: systemClock,
    random: systemRandom,
    ifInterrupted: () => ({ [Symbol.dispose]: () => {} }),
    out: () => Buffer.concat(out).toString(),
    err: () => Buffer.concat(err).toString(),
  };
}

function collector(chunks: Buffer[], isTTY: boolean): Writable & { isTTY: boolean } {
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return Object.assign(stream, { isTTY });
}
