/**
 * An agent without a mount, for drills that want many: the filesystem over a state folder and the publisher, as mounts have them, in one
 * thread. Writes and flushes, one after the other, and prints what each flush took.
 *   node scripts/drills/light-agent.ts URL STATE WARM FLUSHES NAME…
 * It says `ready` and waits for a line, twice: for WARM flushes, which let the code be compiled as in an agent that has been at work, and
 * for FLUSHES more, which count: in turn for each NAME, half of them into NAME's own folder, half into
 * one of the files in `shared`. With COUNT_CALLS=1 it also tells what these asked of the disks.
 */
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as PublisherModule from "../../src/agent/publishing/publisher.ts";
import type * as FirstBaseModule from "../../src/agent/state/first-base.ts";
import type * as StateDirModule from "../../src/agent/state/state-dir.ts";
import type * as WritingModule from "../../src/agent/writing-bucket.ts";
import type * as ClockModule from "../../src/base/clock.ts";
import type * as LimitsModule from "../../src/base/limits.ts";
import type * as LogModule from "../../src/base/log.ts";
import type * as RandomModule from "../../src/base/random.ts";
import type * as WalletModule from "../../src/crypto/wallet.ts";
import type * as AccessModule from "../../src/net/access.ts";
import type * as DataReaderModule from "../../src/overlay/data/data-reader.ts";
import type * as EncodedModule from "../../src/overlay/data/encoded-epoch.ts";
import type * as DiskModule from "../../src/overlay/disk/disk-storage.ts";
import type * as MountModule from "../../src/simulate/kernel-mount.ts";
import type * as VfsModule from "../../src/vfs/open-vfs.ts";
import { checkout, report } from "./lib.ts";

/** What a flush took. */
interface Flushed {
  readonly attempts: number;
  readonly tries: number;
  readonly ms: number;
}

// Before anything else takes the functions that are counted.
const { diskCalls }: { diskCalls: Record<string, number> } =
  process.env["COUNT_CALLS"] === "1" ? await import("./disk-calls.ts") : { diskCalls: {} };
// As built: Node.js 22 cannot run all of the sources, since some have `using`.
const dist = <Module>(path: string) => import(pathToFileURL(join(checkout, "dist", path)).href) as Promise<Module>;
const [
  { systemClock: clock },
  { systemRandom: random },
  { silentLog: log },
  { EPOCH_PIECE },
  { walletSigner },
  { masterAccess },
  { cacheDirOf },
  { openToWrite },
  { firstBase },
  { Publisher },
  { DiskStorage },
  { dataReaderOf },
  { encodeChanged, EncodedObjects, decodeChanged },
  { openVfs },
  { KernelMount },
] = await Promise.all([
  dist<typeof ClockModule>("base/clock.js"),
  dist<typeof RandomModule>("base/random.js"),
  dist<typeof LogModule>("base/log.js"),
  dist<typeof LimitsModule>("base/limits.js"),
  dist<typeof WalletModule>("crypto/wallet.js"),
  dist<typeof AccessModule>("net/access.js"),
  dist<typeof StateDirModule>("agent/state/state-dir.js"),
  dist<typeof WritingModule>("agent/writing-bucket.js"),
  dist<typeof FirstBaseModule>("agent/state/first-base.js"),
  dist<typeof PublisherModule>("agent/publishing/publisher.js"),
  dist<typeof DiskModule>("overlay/disk/disk-storage.js"),
  dist<typeof DataReaderModule>("overlay/data/data-reader.js"),
  dist<typeof EncodedModule>("overlay/data/encoded-epoch.js"),
  dist<typeof VfsModule>("vfs/open-vfs.js"),
  dist<typeof MountModule>("simulate/kernel-mount.js"),
]);

const [address, stateDir, warm, flushes, ...names] = process.argv.slice(2);
if (address === undefined || stateDir === undefined) throw new Error("no bucket or no state is given");
const SHARED_FILES = 20;
/** As a mount's, so that nobody fetches what was here before. */
const CACHE_BYTES = 1 << 28;

const storage = new DiskStorage(stateDir);
const wallet = async () => walletSigner(Buffer.from(process.env["SYNCLINE_KEY"] ?? "", "hex"));
const access = masterAccess({ wallet, clock });
const cache = { dir: cacheDirOf(stateDir), bytes: CACHE_BYTES };
const device = { address, stateDir, wallet, access, witness: undefined };
const { opened, writer } = await openToWrite({ ...device, clock, random, log, cache });
const { bucket, blocks, remote } = opened;
const base = await firstBase(bucket, { at: undefined, stateDir, clock, log });
const vfs = openVfs({ storage, blocks, base, clock, log });
const mount = new KernelMount(vfs);
const publisher = new Publisher({
  bucket,
  writer,
  fixed: false,
  overlay: {
    async seal() {
      const changes = vfs.seal();
      await vfs.sync();
      return changes && { ...changes, objects: decodeChanged(encodeChanged(changes.objects)) };
    },
    sending: (epoch, sent) => vfs.sending(epoch, sent),
    published: async ({ objects, ...epoch }) =>
      vfs.published({ ...epoch, objects: EncodedObjects.of(objects, EPOCH_PIECE) }),
    adopt: async (next) => vfs.adopt(next),
    olderBases: async () => [],
  },
  data: dataReaderOf(storage),
  base: vfs.baseState(),
  held: false,
  releaseMemory: () => {},
  clock,
  random,
  log,
});
remote.watch(() => void publisher.rootMoved());

await told();
for (const name of names) await mount.makeDirectory(name);
await flushedFrom(0, Number(warm));
await told();
const [began, before] = [performance.now(), process.cpuUsage()];
for (const key in diskCalls) delete diskCalls[key];
const taken = await flushedFrom(Number(warm), Number(flushes));
const calls = { ...diskCalls };
const { user, system } = process.cpuUsage(before);
report(JSON.stringify({ taken, calls, ms: performance.now() - began, cpuMs: (user + system) / 1000 }));
process.exit(0);

async function told() {
  report("ready");
  await once(process.stdin, "data");
}

async function flushedFrom(first: number, count: number) {
  const taken: Flushed[] = [];
  for (let flush = first; flush < first + count; flush++) {
    const round = Math.floor(flush / names.length);
    await write(names[flush % names.length] ?? "", round);
    taken.push(await published());
  }
  return taken;
}

async function write(name: string, round: number) {
  const bytes = Buffer.from(`${name} ${round}\n`);
  if (round % 2 === 0) return mount.create(`${name}/${round}`, bytes);
  const file = Math.floor(random.fraction() * SHARED_FILES);
  return mount.edit(`shared/${file}`, () => ({ offset: 0, bytes, size: 0 }));
}

/** Flushes until it is in the bucket; how many swaps that took, and how many flushes. */
async function published(): Promise<Flushed> {
  let attempts = 0;
  const startMs = performance.now();
  for (let tries = 1; ; tries++) {
    const { again, afterMs } = await publisher.flush();
    attempts += publisher.state().last.attempts;
    if (!again && vfs.pending().files === 0) return { attempts, tries, ms: performance.now() - startMs };
    await clock.sleep(afterMs);
  }
}
