/** The WebDAV door of an agent: assembles handler, page, logins and server, on the thread that serves. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SynclineError } from "../../base/errors.ts";
import { systemRandom } from "../../base/random.ts";
import { type CertificateFiles, requirePair } from "../../http/certificate.ts";
import type { Certificate } from "../../http/listen.ts";
import type { FileSystem } from "../../vfs/filesystem.ts";
import { createDavHandler } from "../../webdav/handler.ts";
import { Login } from "../../webdav/sign-in/login.ts";
import { createFolderPage } from "../../webdav/page/folder-page.ts";
import { DavServer } from "../../webdav/server.ts";
import { syncByTrees } from "../../webdav/sync-source.ts";
import type { WebdavSetup } from "./doors.ts";
import type { DoorContext } from "./door-context.ts";
import { collectGarbage } from "../../runtime/memory.ts";
import { fileChecksumStore } from "../state/checksum-file.ts";
import { fileLockStore, fileUnfinishedStore } from "../state/webdav-state.ts";

/** Throws `config_invalid` if a file cannot be read, or holds no certificate or key that a server can use. */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  const [cert = "", key = ""] = await Promise.all([files.cert, files.key].map((path) => readFile(path, "utf8"))).catch(
    (cause) => {
      throw new SynclineError("config_invalid", `The TLS files cannot be read: ${String(cause)}`, {
        hint: "Check the paths and their permissions.",
        cause,
      });
    },
  );
  return requirePair({ cert, key }, files);
}

/** Throws `cannot_listen` and `config_invalid` (certificate or key). */
export async function serveWebdav(
  fs: FileSystem,
  setup: Omit<WebdavSetup, "tls">,
  tls: Certificate | undefined,
  context: DoorContext,
): Promise<Pick<DavServer, "url" | "stop" | "close">> {
  const { vfs, contentConfig, readOnly, stateDir, clock, log } = context;
  const { host, port, names, passwordFile } = setup;
  const ports = { clock, random: systemRandom, log };
  const closed = new AbortController();
  const handler = createDavHandler({
    fs,
    closed: closed.signal,
    contentNames: vfs,
    contentConfig,
    collectYoung: () => collectGarbage("young"),
    ...ports,
    readOnly,
    locks: fileLockStore(join(stateDir, "webdav-locks.json")),
    unfinished: fileUnfinishedStore(join(stateDir, "webdav-unfinished.json")),
    checksums: fileChecksumStore(join(stateDir, "webdav-checksums"), log),
    syncToken: syncByTrees(vfs),
    folderPage: createFolderPage(context),
    // Windows has neither.
    caller: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  });
  const login = passwordFile === undefined ? undefined : new Login(passwordFile, ports);
  const server = await DavServer.listen({ host, port, tls, names, login, handler, clock, log });
  return {
    url: server.url,
    stop: () => server.stop().finally(() => closed.abort()),
    close() {
      server.close();
      closed.abort();
    },
  };
}
