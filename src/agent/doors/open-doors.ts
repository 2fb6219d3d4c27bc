/**
 * Opens and closes an agent's doors to its filesystem, on the thread that serves. A new kind of door needs a setup in
 * doors.ts and a function here that opens it.
 */
import { X509Certificate } from "node:crypto";
import { SynclineError } from "../../base/errors.ts";
import { escapeForPrint, shellWord } from "../../base/names.ts";
import type { Certificate } from "../../http/listen.ts";
import { originOf } from "../../http/shown-host.ts";
import { detachCommand, prepareMountPoint } from "../../fuse/mount-point.ts";
import { serveFuse, type FuseMount } from "../../fuse/mount.ts";
import { noteConnection } from "../state/connection.ts";
import { DoorViews } from "../../vfs/door-views.ts";
import type { Invalidations } from "../../vfs/filesystem.ts";
import type { DoorContext, OpenDoor } from "./door-context.ts";
import type { DoorReport, DoorSetup, MountSetup, WebdavSetup } from "./doors.ts";
import { LateDoor } from "./late-door.ts";

export class OpenDoors {
  /** In the order of closing: first those that may refuse. */
  readonly #doors: OpenDoor[] = [];

  /** Opens all doors, or none. Those that are open hear of changes while others still open. Throws as they do. */
  async open(setups: readonly DoorSetup[], context: DoorContext): Promise<void> {
    // A single door needs no view of its own: no other door changes or holds anything.
    const views = setups.length > 1 ? new DoorViews(context.fs) : undefined;
    try {
      for (const setup of setups) this.#doors.push(await openDoor(setup, context, views));
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  get reports(): readonly DoorReport[] {
    return this.#doors.map(({ report }) => report);
  }

  /** Whether a new process could take over without an error for any program. */
  get isReplaceable(): boolean {
    return this.#doors.some((door) => door.isReplaceable?.() === true);
  }

  invalidate(changes: Invalidations): void {
    for (const door of this.#doors) door.invalidate?.(changes);
  }

  /** The filesystem may show another root. */
  moved(): void {
    for (const door of this.#doors) door.moved?.();
  }

  /** Closes the doors one by one. Throws `mount_busy` unless `lazy`: that door and those after it stay open. */
  async leave(lazy: boolean): Promise<void> {
    for (const door of this.#doors) await door.leave(lazy);
  }

  async close(): Promise<void> {
    for (const door of this.#doors.splice(0)) await door.close();
  }
}

function openDoor(setup: DoorSetup, context: DoorContext, views: DoorViews | undefined): Promise<OpenDoor> {
  switch (setup.door) {
    case "mount":
      return openMount(setup, context, views);
    case "webdav":
      return openOrRetry({ door: "webdav", url: `${originOf(setup, setup.port)}/`, fingerprint: null }, context, () =>
        openWebdav(setup, context, views),
      );
  }
}

/**
 * An error of another door must not end an agent in whose mount programs wait, nor keep a service's mount from starting: the
 * network may have no address yet.
 */
async function openOrRetry(
  report: DoorReport,
  { supervision, clock, log }: DoorContext,
  open: () => Promise<OpenDoor>,
): Promise<OpenDoor> {
  if (supervision?.isInherited !== true) return open();
  const late = new LateDoor({ report, open, clock, log });
  await late.tried;
  return late;
}

async function openWebdav(setup: WebdavSetup, context: DoorContext, views: DoorViews | undefined): Promise<OpenDoor> {
  // Loaded only by agents that serve WebDAV.
  const { readCertificate, serveWebdav } = await import("./webdav-door.ts");
  const tls = setup.tls && (await readCertificate(setup.tls));
  // WebDAV keeps no copies: every request reads the filesystem.
  const view = views?.open();
  try {
    const server = await serveWebdav(view?.fs ?? context.fs, setup, tls, context);
    return {
      report: { door: "webdav", url: server.url, fingerprint: fingerprintOf(tls) },
      leave: () => server.stop().finally(() => view?.[Symbol.dispose]()),
      close: async () => server.close(),
    };
  } catch (error) {
    view?.[Symbol.dispose]();
    throw error;
  }
}

function fingerprintOf(tls: Certificate | undefined): string | null {
  return tls === undefined ? null : new X509Certificate(tls.cert).fingerprint256;
}

async function openMount(setup: MountSetup, context: DoorContext, views: DoorViews | undefined): Promise<OpenDoor> {
  const { address, readOnly, stateDir, clock, log } = context;
  const { mount: mountPoint, owners, noexec, acl, birthTimes, indexPrograms: names } = setup;
  const isTaken = context.supervision?.handoff !== undefined;
  // Again: something may be there since.
  if (!isTaken) await prepareMountPoint(mountPoint, clock);
  const supervision = isTaken
    ? context.supervision
    : context.supervision && noteConnection(stateDir, context.supervision, log);
  let mount: FuseMount | undefined;
  const view = views?.open((changes) => mount?.invalidate(changes));
  const live = view?.fs ?? context.fs;
  const history = setup.history ? context.withHistory(live, owners.kind === "all") : undefined;
  history?.onInvalidate((changes) => mount?.invalidate(changes));
  const dispose = () => {
    view?.[Symbol.dispose]();
    history?.[Symbol.dispose]();
  };
  try {
    const served = serveFuse(history ?? live, {
      mountPoint,
      source: address,
      log,
      clock,
      readOnly,
      noexec,
      supervision,
      owners,
      acl,
      birthTimes,
      indexing: { names, ...context.indexing },
    });
    mount = served;
    await served.ready;
    void served.ended.finally(() => {
      dispose();
      context.ended();
    });
    return {
      report: { door: "mount", mount: mountPoint },
      moved: () => history?.moved(),
      isReplaceable: () => served.isReplaceable,
      invalidate: (changes) => served.invalidate(changes),
      leave: (lazy) => leaveMount(served, lazy),
      close: () => served.close(),
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

async function leaveMount(mount: FuseMount, lazy: boolean): Promise<void> {
  if ((await mount.unmount()) !== "busy") return;
  if (lazy) return mount.close();
  const mountPoint = await mount.where();
  throw new SynclineError("mount_busy", `${escapeForPrint(mountPoint)} is in use and stays mounted.`, {
    hint: `See what uses it: fuser -vm ${shellWord(mountPoint)}. Stop that, or detach the mount: ${detachCommand(mountPoint)}`,
  });
}
