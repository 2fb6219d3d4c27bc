/** `syncline serve`: a master, in the foreground, until a signal stops it. */
import { makeFolders } from "../../runtime/make-folders.ts";
import { boundHeaps, collectGarbage } from "../../runtime/memory.ts";
import { SynclineError } from "../../base/errors.ts";
import type { Wallet } from "../../base/ids.ts";
import { createLineLog, type Log } from "../../base/log.ts";
import { escapeForPrint } from "../../base/names.ts";
import { parseWallet } from "../../crypto/wallet.ts";
import { parseSessionKey } from "../../master/http/session-key.ts";
import type { Master } from "../../master/master.ts";
import { rootsHint } from "../../master/roots/root-alarm.ts";
import type { MasterStorage, ServingMaster } from "../../master/storage.ts";
import { isLoopback } from "../../net/origin.ts";
import { type Call, command } from "../command.ts";
import { parseHostName } from "../host-name.ts";
import { certificateWarning } from "./certificate-dates.ts";
import { openMasterStorage } from "./master-storage.ts";
import { keptCertificate } from "./kept-certificate.ts";
import { parseListen, tlsTexts } from "./listen.ts";
import { DEFAULT_LISTEN } from "../options.ts";
import { ENDING_SIGNALS, type Runtime } from "../runtime.ts";
import { printCount, printText } from "../terminal/text.ts";
import { textOf } from "../terminal/text-file.ts";

const OPTIONS = [
  "data",
  "arbiter",
  "store",
  "listen",
  "metricsListen",
  "allow",
  "tlsCert",
  "tlsKey",
  "tlsSelfSigned",
  "host",
  "insecure",
  "masters",
  "publicBlocks",
  "lease",
  "quota",
  "quotaApi",
  "quotaMode",
  "sessionKey",
  "acceptRoots",
  "unsafeNoCas",
] as const;
type ServeCall = Call<(typeof OPTIONS)[number]>;

export const register = command({
  name: "serve",
  summary: "run a master: serves buckets over HTTP to the wallets that it allows",
  options: OPTIONS,
  examples: [
    "syncline serve --data ~/master --allow 0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025",
    "syncline serve --data /srv/master --listen 0.0.0.0:3600 --tls-self-signed --host master.example --allow 0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025",
    "syncline serve --arbiter postgres://syncline@db.example/syncline --store s3://packs/main --allow 0x17c5185167401ed00cf5f5b2fc97d9bbfdb7d025",
  ],
  exits: [4, 5, 6, 8],
  run: serve,
});

async function serve(call: ServeCall): Promise<void> {
  const { options, output, runtime } = call;
  // The tables tell who has what, so they are private whatever the folder's own mode is.
  process.umask(0o077);
  const { startMaster } = await import("../../master/master.ts");
  const listen = listenOptions(call);
  const allow = (options.allow ?? []).map(parseWallet);
  const log = stderrLog(runtime, options.verbose === true);
  const { clock, random } = runtime;
  const compareAndSwap = options.unsafeNoCas !== true;
  // Checked before the storage is opened: an open one would keep the process alive after an error.
  const checked = {
    listen,
    metricsListen:
      options.metricsListen === undefined ? undefined : parseListen(options.metricsListen, "--metrics-listen"),
    allow,
    sessionKey: options.sessionKey === undefined ? undefined : parseSessionKey(textOf(options.sessionKey)),
    masters: (options.masters ?? []).map((text) => masterOrigin(text, options.insecure === true)),
    publicBlocks: options.publicBlocks ?? false,
    compareAndSwap,
    quotaBytes: options.quota,
    quotaApi: quotaApiOf(call),
  };
  const storage = await openMasterStorage(call, log);
  const self = { compareAndSwap, version: call.version, rules: rulesOf(options) };
  await joinOthers(storage, self);
  const master = await startMaster({
    ...checked,
    storage,
    version: call.version,
    clock,
    random,
    collect: collectGarbage,
    log,
  });
  boundHeaps();
  const stopped = stopOnSignals(master, log);
  storage.others?.announce({ ...self, origin: master.origin });
  warn(call, allow, listen);
  if (master.rolledBack.size > 0) call.output.notice(rolledBackText(master.rolledBack, options.arbiter));
  const { origin, metricsOrigin: metrics } = master;
  const { certificate } = listen;
  const counted = metrics === undefined ? "" : `, metrics at ${metrics}/metrics`;
  const trust =
    certificate === undefined
      ? ""
      : `\nOn other machines, trust its certificate with --tls-ca: ${printText(certificate)}`;
  output.result(
    {
      origin,
      ...(options.data === undefined ? {} : { data: options.data }),
      ...(options.store === undefined ? {} : { store: options.store }),
      pid: process.pid,
      allow,
      ...(metrics === undefined ? {} : { metrics }),
      ...(certificate === undefined ? {} : { certificate }),
    },
    `Serving ${printText(options.store ?? options.data ?? "")} at ${origin}${counted}. Press Ctrl-C to stop.${trust}`,
  );
  await stopped;
}

/** The options that all masters of the same buckets should share, except for the lease. */
function rulesOf({ quota, publicBlocks = false }: ServeCall["options"]): string {
  return [quota !== undefined && `--quota=${quota}`, publicBlocks && "--public-blocks"].filter(Boolean).join(",");
}

/** If it may not serve beside the other masters, the storage is closed. */
async function joinOthers(storage: MasterStorage, self: Omit<ServingMaster, "origin">): Promise<void> {
  try {
    await storage.others?.join(self);
  } catch (error) {
    await storage[Symbol.asyncDispose]();
    throw error;
  }
}

type Listen = ReturnType<typeof listenOptions>;

/** Throws `usage`. */
function listenOptions({ options, runtime }: ServeCall) {
  const { host, port } = parseListen(options.listen ?? DEFAULT_LISTEN);
  const names = (options.host ?? []).map(parseHostName);
  const given = tlsTexts(options);
  const selfSigned = options.tlsSelfSigned === true;
  if (given !== undefined && selfSigned) {
    throw new SynclineError("usage", "--tls-self-signed and --tls-cert cannot be combined: give only one.");
  }
  if (given === undefined && !selfSigned && !isLoopback(host) && options.insecure !== true) {
    throw new SynclineError("usage", `Other machines could read and use bearer tokens sent to ${host}.`, {
      hint: "Give --tls-self-signed, or --tls-cert and --tls-key, or listen on 127.0.0.1. --insecure skips this check.",
    });
  }
  const kept = selfSigned ? keptCertificate(runtime, dataFolder(options.data), "tls", [host, ...names]) : undefined;
  return { host, port, names, tls: kept ?? given, certificate: kept?.path };
}

/** Creates the folder if needed: it also keeps the certificate, which is needed first. */
function dataFolder(path: string | undefined): string {
  if (path === undefined)
    throw new SynclineError("usage", "--tls-self-signed needs --data DIR, to keep the certificate.");
  try {
    makeFolders(path, 0o700);
  } catch (cause) {
    throw new SynclineError("local_io_failed", `Cannot create the data folder ${path}: ${String(cause)}.`, {
      hint: "Choose a writable folder: --data DIR.",
      cause,
    });
  }
  return path;
}

/** An origin that agents could use. Throws `usage`. */
function masterOrigin(text: string, insecure: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || `${url.origin}/` !== url.href) {
    throw new SynclineError("usage", `--masters: ${JSON.stringify(text)} is not an origin such as https://host:port.`);
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !insecure) {
    throw new SynclineError("usage", `--masters: agents would send bearer tokens to ${url.host} unencrypted.`, {
      hint: "Use https://. --insecure skips this check.",
    });
  }
  return url.origin;
}

function quotaApiOf({ options }: ServeCall): { url: string; open: boolean } | undefined {
  const { quotaApi: url, quotaMode } = options;
  if (url === undefined) return undefined;
  const { protocol = "", hostname = "" } = URL.canParse(url) ? new URL(url) : {};
  if (!/^https?:$/.test(protocol)) {
    throw new SynclineError("usage", `--quota-api: ${JSON.stringify(url)} is not an http or https URL.`);
  }
  if (protocol === "http:" && !isLoopback(hostname) && options.insecure !== true) {
    throw new SynclineError("usage", `--quota-api: callers' bearer tokens would go to ${hostname} unencrypted.`, {
      hint: "Use https://, or a storage API on this machine. --insecure skips this check.",
    });
  }
  return { url, open: quotaMode !== "strict" };
}

function warn({ output, options, runtime }: ServeCall, allow: readonly Wallet[], { host, tls }: Listen): void {
  if (allow.length === 0) {
    output.notice(
      "No wallet is allowed, so every call with a bearer token is refused. Restart with --allow WALLET: `syncline key show` prints yours.",
    );
  }
  if (tls === undefined && !isLoopback(host)) {
    output.notice(
      "Bearer tokens and blocks travel unencrypted (--insecure): anyone listening on the network can use them.",
    );
  }
  const dates = tls && certificateWarning(tls.cert, Number(runtime.clock.nowNs() / 1_000_000n));
  if (dates !== undefined) output.notice(dates);
  if (options.publicBlocks === true) {
    output.notice("Blocks are public (--public-blocks): anyone who knows a block's address can read it.");
  }
}

function rolledBackText(owners: ReadonlySet<Wallet>, arbiter: string | undefined): string {
  return `The table of roots is older than the last known state of ${printCount(owners.size, "owner")} (${[...owners].slice(0, 3).join(", ")}). Nothing of theirs is collected. ${rootsHint(arbiter)}`;
}

/** The first signal stops in order; a second one does not wait for pending work. */
function stopOnSignals(master: Master, log: Log): Promise<void> {
  const hurry = new AbortController();
  return new Promise((resolve, reject) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals) => {
      log.info(`Received ${signal}.`);
      if (asked) return hurry.abort();
      asked = true;
      master.stop(hurry.signal).then(finish(resolve), finish(reject));
    };
    const finish =
      <Value>(settle: (value: Value) => void) =>
      (value: Value) => {
        for (const signal of ENDING_SIGNALS) process.off(signal, onSignal);
        settle(value);
      };
    for (const signal of ENDING_SIGNALS) process.on(signal, onSignal);
  });
}

function stderrLog({ clock, stderr }: Runtime, verbose: boolean): Log {
  const log = createLineLog(
    () => clock.nowNs(),
    (line) => void stderr.write(`${escapeForPrint(line.slice(0, -1))}\n`),
  );
  return verbose ? log : { ...log, info: () => {} };
}
