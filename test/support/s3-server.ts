/** Real S3 servers for tests: found in the cache that scripts/lib/servers.sh fills, on a free port of loopback, in a folder of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync } from "node:fs";
import { connect, createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { S3ObjectStore } from "../../src/objects/s3/s3-object-store.ts";
import type { Environment } from "../../src/objects/s3/credentials.ts";

export type ServerName = "versitygw" | "minio" | "versitygw-1.7.0";

/** Where `scripts/lib/servers.sh` keeps what it builds. */
const CACHE = process.env["SYNCLINE_SERVERS"] ?? join(homedir(), ".cache/syncline/servers");
const PROGRAMS: Readonly<Record<ServerName, string>> = {
  versitygw: "versitygw-1.8.0/versitygw",
  "versitygw-1.7.0": "versitygw-1.7.0/versitygw",
  minio: "minio-20260212/minio",
};
const REGION = "us-east-1";
const KEY = { AWS_ACCESS_KEY_ID: "tester", AWS_SECRET_ACCESS_KEY: "tester-secret", AWS_REGION: REGION };

export function programOf(name: ServerName): string | undefined {
  const path = join(CACHE, PROGRAMS[name]);
  return existsSync(path) ? path : undefined;
}

/** Which of the servers can be had here. "NAME with --all": only then. */
export function serversHere(...names: readonly (ServerName | `${ServerName} with --all`)[]) {
  const isAll = process.env["SYNCLINE_TEST_ALL"] !== undefined;
  const wanted = names
    .filter((name) => isAll || !name.endsWith(" with --all"))
    .map((name) => name.replace(" with --all", "") as ServerName);
  return {
    here: wanted.filter((name) => programOf(name) !== undefined),
    missing: wanted.filter((name) => programOf(name) === undefined),
  };
}

/** A store below a prefix of the server's bucket. */
export function s3Store({ endpoint, bucket, env }: S3Server, prefix: string): S3ObjectStore {
  return new S3ObjectStore({
    address: `s3://${bucket}/${prefix}`,
    prefix,
    bucket,
    endpoint,
    region: undefined,
    style: "path",
    env,
    clock: systemClock,
    random: systemRandom,
  });
}

export class S3Server implements AsyncDisposable {
  readonly endpoint: string;
  readonly bucket = "bucket";
  readonly env: Environment = KEY;
  readonly #name: ServerName;
  readonly #folder: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(name: ServerName, folder: string, port: number) {
    this.#name = name;
    this.#folder = folder;
    this.#port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  /** In `folder`, which must be empty or that of an earlier one. */
  static async start(name: ServerName, folder: string): Promise<S3Server> {
    const server = new S3Server(name, folder, await freePort());
    mkdirSync(join(folder, "data", server.bucket), { recursive: true });
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const program = programOf(this.#name);
    if (program === undefined) throw new Error(`${this.#name} is not built: scripts/test builds it`);
    const data = join(this.#folder, "data");
    const log = openSync(join(this.#folder, "server.log"), "a");
    const address = `127.0.0.1:${this.#port}`;
    const [args, env] =
      this.#name === "minio"
        ? [["server", "--quiet", "--address", address, data], MINIO]
        : [
            [
              "--port",
              address,
              "--quiet",
              "--access",
              KEY.AWS_ACCESS_KEY_ID,
              "--secret",
              KEY.AWS_SECRET_ACCESS_KEY,
              "--region",
              REGION,
              "posix",
              data,
            ],
            {},
          ];
    this.#child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", log, log] });
    await answers(this.#port);
  }

  /** Its process, to be stopped and continued. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}

const MINIO = {
  MINIO_ROOT_USER: KEY.AWS_ACCESS_KEY_ID,
  MINIO_ROOT_PASSWORD: KEY.AWS_SECRET_ACCESS_KEY,
  MINIO_REGION: REGION,
  MINIO_UPDATE: "off",
  MINIO_BROWSER: "off",
  MINIO_CALLHOME_ENABLE: "off",
};

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function answers(port: number): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const isThere = await new Promise<boolean>((done) => {
      const socket = connect(port, "127.0.0.1", () => done(true));
      socket
        .on("error", () => done(false))
        .on("close", () => done(false))
        .on("connect", () => socket.end());
    });
    if (isThere) return;
    await new Promise((done) => void setTimeout(done, 50));
  }
  throw new Error(`no server at port ${port}`);
}
