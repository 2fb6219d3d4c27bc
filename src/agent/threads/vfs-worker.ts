/** The thread that serves the filesystem: overlay, vfs and doors. The main thread takes its epochs and publishes them. */
import { join } from "node:path";
import { parentPort, type MessagePort } from "node:worker_threads";
import { CACHE_RESERVED_BYTES } from "../../base/limits.ts";
import { systemClock } from "../../base/clock.ts";
import { SynclineError, unlessDamaged } from "../../base/errors.ts";
import type { Cid, Ino, PackName, WriterId } from "../../base/ids.ts";
import { parseAddress } from "../../bucket/address.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { recentNames } from "../../bucket/machines.ts";
import type { Log, LogFields } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { eachOnce, type MasterAccess, trustedAccess } from "../../net/access.ts";
import { keptBearer, RENEW_AHEAD_MS } from "../../net/bearer.ts";
import { loadAhead } from "../../net/pool.ts";
import { DiskStorage } from "../../overlay/disk/disk-storage.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import { forgetContents } from "../../vfs/forget-contents.ts";
import { removeGoneInodes } from "../../vfs/gone-inodes.ts";
import { HistoryFs } from "../../vfs/history/history-fs.ts";
import { openNumbers } from "../../vfs/history/numbers.ts";
import type { Objects } from "../../vfs/objects.ts";
import { openWithObjects } from "../../vfs/open-vfs.ts";
import { overriding } from "../../vfs/overriding.ts";
import { unpublishedBelow } from "../../vfs/unpublished.ts";
import type { Vfs } from "../../vfs/vfs.ts";
import { saveCompiledCode } from "../../runtime/compiled-code.ts";
import { IdleRelease, releaseGarbage } from "../../runtime/memory.ts";
import { serveFirst } from "../../runtime/priority.ts";
import { releasingReader } from "./releasing-reader.ts";
import { EpochExchange } from "../publishing/epoch-exchange.ts";
import { knownMasters } from "../state/known-masters.ts";
import { inUseDirOf, pinnedDirOf } from "../state/state-dir.ts";
import { openBucket, type OpenedBucket } from "../open-bucket.ts";
import { OpenDoors } from "../doors/open-doors.ts";
import { answerCalls, createCaller, type Caller } from "./rpc.ts";
import { QuotaWatch } from "./quota-watch.ts";
import { readShared, type SharedBytes, writeShared } from "./shared-bytes.ts";
import type { MainMethods, WorkerEvent, WorkerMethods, WorkerSetup } from "./threads.ts";

interface Serving {
  readonly setup: WorkerSetup;
  readonly opened: OpenedBucket;
  readonly vfs: Vfs;
  readonly objects: Objects;
  readonly epochs: EpochExchange;
  readonly quota: QuotaWatch;
  readonly doors: OpenDoors;
  readonly closing: AbortController;
  /** Work that must end before the filesystem is closed. */
  background: Promise<void>;
}

const HISTORY_NUMBERS = "history-numbers.db";
/** How long a listing of a `.history` searches before it shows what it has. */
const HISTORY_PATIENCE_MS = 10_000;
/** Larger epochs leave garbage worth collecting. */
const MANY_OBJECTS = 1_000;

serveFirst();
serve(portOf(parentPort));

function serve(port: MessagePort): void {
  const tell = (event: WorkerEvent) => port.postMessage(event);
  const log = createForwardingLog(tell);
  const main = createCaller<MainMethods>(port);
  const idleRelease = new IdleRelease(systemClock, releaseGarbage);
  let serving: Serving | undefined;
  let lastLarge: number | undefined;
  /** Objects of epochs published since the last request to release memory. */
  let published = 0;
  const open = () => {
    if (serving === undefined) throw new SynclineError("internal", "The filesystem is not open.");
    return serving;
  };

  answerCalls<WorkerMethods>(port, {
    loaded: () => {},
    async open(setup) {
      const doubted = (pack: PackName) => tell({ event: "doubted", pack });
      serving = await openFilesystem(setup, log, accessThrough(main.call, setup), idleRelease, doubted);
      const { vfs, objects } = serving;
      vfs.onDirty((reason) => tell({ event: "dirty", reason }));
      vfs.onBegun((file) => tell({ event: "begun", file }));
      vfs.onInvalidate((changes) => open().doors.invalidate(changes));
      const older = objects.overlay.state.olderBases.map(({ base }) => base);
      return { base: vfs.baseState(), older, pending: vfs.pending(), held: vfs.heldEpochs.length > 0 };
    },
    async openDoors(setups) {
      const { setup, vfs, objects, opened, doors } = open();
      const fs = setup.publishedDurability ? publishedDurability(vfs, () => main.call("flush", undefined)) : vfs;
      const { address, readOnly, stateDir, supervision } = setup;
      const ended = () => tell({ event: "unmounted" });
      await doors.open(setups, {
        fs,
        vfs,
        contentConfig: opened.bucket.contentConfig,
        address,
        readOnly,
        stateDir,
        supervision,
        indexing: {
          isHere: async (cids) => (await opened.held(cids)).size === new Set(cids).size,
          readsAhead: () => objects.loader.readsAhead,
          dropAhead: () => objects.loader.dropAhead(),
        },
        withHistory: (live, oneOwner) => withHistory(live, oneOwner, open(), log),
        conflictWriter: (ino) => vfs.conflictWriter(ino),
        machineName: (writer) => machineName(opened.bucket, writer),
        clock: systemClock,
        log,
        ended,
      });
      open().background = forgetGone(open(), log);
      saveCompiledCode();
      return doors.reports;
    },
    pending: () => open().vfs.pending(),
    lost: () => open().objects.overlay.lost ?? null,
    inUse: () => open().objects.contentsInUse(),
    olderBases: () => open().objects.overlay.state.olderBases.map(({ base }) => base),
    async seal({ anew, removals }) {
      const sealed = await open().epochs.seal(anew, removals);
      // Collects once per epoch: while the bucket is away, an epoch is sealed repeatedly.
      if (sealed !== undefined && sealed.count > MANY_OBJECTS && sealed.head.epoch !== lastLarge) {
        lastLarge = sealed.head.epoch;
        idleRelease.note();
      }
      return sealed;
    },
    sealedObjects: (range) => open().epochs.sealedObjects(range),
    sending: ({ epoch, sent }) => open().vfs.sending(epoch, sent),
    publishedObjects: (some) => open().epochs.publishedObjects(some),
    async published(epoch) {
      // Without the blocks, programs would get others' versions of databases that they have open. Another flush tries again.
      await unlessDamaged(() => open().vfs.prepare(epoch.base, epoch.units));
      published += open().epochs.published(epoch);
      open().quota.changed();
      open().doors.moved();
      if (published <= MANY_OBJECTS) return;
      published = 0;
      idleRelease.note();
    },
    async adopt({ base, units }) {
      const { vfs, doors, quota } = open();
      await vfs.prepare(base, units);
      if (!vfs.adopt(base, units)) return false;
      quota.changed();
      doors.moved();
      return true;
    },
    publishing(news) {
      open().vfs.publishState.told(news);
      if (news !== "moving" && news.problem === "over_quota") open().quota.changed();
    },
    isSteady: (beginning) => open().vfs.isSteady(beginning),
    fetchAhead: (isAllowed) => void (open().objects.loader.fetchesAhead = isAllowed),
    cached: (blocks) => open().opened.cache?.believe(blocks),
    async unpublished(paths) {
      const { opened, objects } = open();
      await opened.cache?.settled();
      return unpublishedBelow(objects, paths);
    },
    forget({ files, blocks }) {
      const inodes = forgetContents(open().objects, files, blocks);
      open().doors.invalidate({ entries: [], inodes, all: false });
    },
    isReplaceable: () => open().doors.isReplaceable,
    leaveDoors: async ({ lazy }) => open().doors.leave(lazy),
    async close() {
      idleRelease[Symbol.dispose]();
      open().quota[Symbol.dispose]();
      open().closing.abort();
      await open().background;
      await open().doors.close();
      await open().vfs.close();
      await open().opened[Symbol.asyncDispose]();
    },
  });
}

async function openFilesystem(
  setup: WorkerSetup,
  log: Log,
  access: MasterAccess,
  idleRelease: IdleRelease,
  onDoubt: (pack: PackName) => void,
): Promise<Serving> {
  const { address, genesis, stateDir, base, readTimeoutMs } = setup;
  const { unpublished, unpublishedObjects, cacheBytes } = setup;
  const taken = unpublished && { taken: () => readShared(unpublished) };
  const cache = {
    dir: setup.cacheDir,
    bytes: cacheBytes,
    pinnedDir: pinnedDirOf(stateDir),
    inUseDir: inUseDirOf(stateDir),
    ...taken,
  };
  const ports = { clock: systemClock, random: systemRandom };
  const reading = { access, genesis, cache, log, patienceMs: readTimeoutMs, witness: undefined, onDoubt };
  const opened = await openBucket({ address, ...reading, ...ports });
  const { vfs, objects } = openWithObjects({
    storage: new DiskStorage(stateDir),
    goesOn: setup.supervision?.handoff !== undefined,
    blocks: releasingReader(opened.blocks, idleRelease),
    base,
    clock: systemClock,
    log,
    limits: {
      readTimeoutMs,
      unpublishedObjects,
      ...(unpublished && { unpublishedBytes: mostUnpublished(cacheBytes) }),
    },
    ...(unpublished && { onUnpublished: sharing(unpublished, cacheBytes, opened) }),
  });
  if (parseAddress(address).isRemote) loadAhead();
  const quota = new QuotaWatch({
    read: async () => opened.remote.quota?.(),
    isPaused: () => !objects.loader.fetchesAhead,
    clock: systemClock,
  });
  objects.spaceWithin = (disk) => quota.within(disk);
  const epochs = new EpochExchange(vfs);
  const [doors, closing, background] = [new OpenDoors(), new AbortController(), Promise.resolve()];
  return { setup, opened, vfs, objects, quota, epochs, doors, closing, background };
}

function forgetGone({ opened, objects, closing: { signal } }: Serving, log: Log): Promise<void> {
  const held = (cids: readonly Cid[]) => opened.held(cids);
  return removeGoneInodes({ objects, held, clock: systemClock, log, signal });
}

/** When another agent takes over, the kernel keeps using the inode numbers that it was told. */
function withHistory(live: FileSystem, oneOwner: boolean, { setup, opened, objects }: Serving, log: Log): HistoryFs {
  const keep = setup.supervision?.handoff !== undefined;
  const numbers = openNumbers(join(setup.stateDir, HISTORY_NUMBERS), keep, log);
  // A listing shows what was found before the read would time out.
  const patienceMs = Math.min(HISTORY_PATIENCE_MS, setup.readTimeoutMs / 2);
  const shown = { numbers, oneOwner, patienceMs };
  return new HistoryFs(live, { objects, ...shown, commits: opened.bucket, clock: systemClock, log });
}

/** Tells the caches of both threads how many bytes are unpublished, and trims the cache as these grow. */
function sharing(unpublished: SharedBytes, limit: number, { cache }: OpenedBucket): (bytes: number) => void {
  let trimmedAt = 0;
  return (bytes) => {
    // A run with a higher limit may have left more.
    writeShared(unpublished, Math.min(bytes, mostUnpublished(limit)));
    if (bytes < trimmedAt) trimmedAt = bytes;
    if (bytes - trimmedAt < limit / TRIMS) return;
    trimmedAt = bytes;
    cache?.trim();
  };
}

function mostUnpublished(limit: number): number {
  return limit - Math.min(CACHE_RESERVED_BYTES, Math.floor(limit / 8));
}

/** The cache is trimmed each time that unpublished bytes have grown by this fraction (1/64) of the limit. */
const TRIMS = 64;

/** The machine's name from recent commits, or the writer's id. */
async function machineName(bucket: Bucket, writer: WriterId): Promise<string> {
  const head = await bucket.head().catch(() => undefined);
  const names = head === undefined ? undefined : await recentNames(bucket, head.commit, [writer]);
  return names?.get(writer) || writer;
}

/** Tokens come from the main thread, which keeps each for minutes beyond this. */
function accessThrough(call: Caller<MainMethods>, { trust, stateRoot }: WorkerSetup): MasterAccess {
  const bearer = eachOnce((origin) => {
    const kept = keptBearer(systemClock, TOKEN_KEPT_MS, () => call("token", origin));
    const refused = (token: string) => {
      kept.refused(token);
      // Best effort: if the token is refused again, a new one is made.
      call("refused", { origin, token }).catch(() => {});
    };
    return { token: () => kept.token(), refused };
  });
  return { ...trustedAccess(bearer, trust, systemClock), known: knownMasters(stateRoot) };
}

const TOKEN_KEPT_MS = RENEW_AHEAD_MS / 2;

/** fsync answers once the change is in the bucket. */
function publishedDurability(fs: FileSystem, flush: () => Promise<{ published: boolean }>): FileSystem {
  const fsync = async (ino: Ino) => {
    await fs.fsync(ino);
    if ((await flush()).published) return;
    throw new SynclineError("unpublished_data", "The change is stored locally but could not be published.");
  };
  return overriding(fs, { fsync, fsyncNow: () => false });
}

function createForwardingLog(tell: (event: WorkerEvent) => void): Log {
  const forward = (level: "info" | "warn" | "error") => (message: string, fields?: LogFields) =>
    tell({ event: "log", level, message: fields === undefined ? message : `${message} ${JSON.stringify(fields)}` });
  return { info: forward("info"), warn: forward("warn"), error: forward("error") };
}

function portOf(port: MessagePort | null): MessagePort {
  if (port !== null) return port;
  throw new SynclineError("internal", "This file runs as a worker thread.");
}
