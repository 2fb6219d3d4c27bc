/** Masters without state of their own, for drills: one PostgreSQL, one S3 server (versitygw), and as many masters as asked. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { PostgresServer, postgresHere } from "../../test/support/postgres-server.ts";
import {
  master,
  type MasterHandle,
  report,
  s3Server,
  type S3Handle,
  type ServeOptions,
  type Space,
  syncline,
} from "./lib.ts";

export interface Shared {
  readonly postgres: PostgresServer;
  readonly s3: S3Handle;
  /** Starts one more master. */
  master(args?: readonly string[], options?: SharedOptions): Promise<MasterHandle>;
}

export interface SharedOptions extends ServeOptions {
  /** Where the master finds the two, if not at their own ports. */
  readonly ports?: { readonly arbiter: number; readonly store: number };
}

/** Both servers listen on `host`. Ends the drill with 0, saying why, where one of them cannot be had. */
export async function shared(space: Space, host = "127.0.0.1", settings: readonly string[] = []): Promise<Shared> {
  const servers = process.env["SYNCLINE_SERVERS"] ?? join(homedir(), ".cache/syncline/servers");
  if (postgresHere() === undefined) skip("PostgreSQL is not installed, or this is not root");
  if (!existsSync(join(servers, "versitygw-1.8.0/versitygw"))) skip("versitygw is not built");
  const postgres = await PostgresServer.start(space.path, host, settings);
  space.cleanups.push(() => postgres.end());
  const s3 = await s3Server(space, join(space.path, "s3"), host);
  syncline(space, ["migrate", "up", "--arbiter", postgres.url]);
  let started = 0;
  return {
    postgres,
    s3,
    master(args = [], { ports, ...options } = {}) {
      const arbiter = ports === undefined ? postgres.url : withPort(postgres.url, ports.arbiter);
      const store = ports === undefined ? s3.url("packs") : withPort(s3.url("packs"), ports.store);
      const data = join(space.path, `master-${++started}`);
      return master(space, { data, ...options, args: ["--arbiter", arbiter, "--store", store, ...args] });
    },
  };
}

/** An address that lists these masters. */
export function allOf(masters: readonly MasterHandle[], bucket = "demo"): string {
  return `http://${masters.map(({ origin }) => new URL(origin).host).join(",")}/${bucket}`;
}

/** The URL of a server on loopback, at another port. */
export function withPort(url: string, port: number): string {
  return url.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${port}`);
}

export function portOf(url: string): number {
  return Number(/127\.0\.0\.1:(\d+)/.exec(url)?.[1]);
}

export function skip(why: string): never {
  report(`skipped: ${why}`);
  process.exit(0);
}
