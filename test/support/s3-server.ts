/** Real S3 servers for tests: found in the cache that scripts/lib/servers.sh fills, on a free port of loopback, in a folder of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { S3ObjectStore } from "../../src/objects/s3/s3-object-store.ts";
import type { Environment } from "../../src/objects/s3/credentials.ts";

/** Where `scripts/lib/servers.sh` keeps what it builds. */
const CACHE = process.env["SYNCLINE_SERVERS"] ?? join(homedir(), ".cache/syncline/servers");
const REGION = "us-east-1";
const KEY = { AWS_ACCESS_KEY_ID: "tester", AWS_SECRET_ACCESS_KEY: "tester-secret", AWS_REGION: REGION };

interface Instance {
  /** Its program, or what tells that it is built. */
  readonly built: string;
  readonly host: string;
  readonly port: number;
  /** Its folders are S3's buckets, where it keeps any. */
  readonly data: string;
}
interface Recipe {
  /** Below the cache. */
  readonly built: string;
  command(place: Instance): readonly string[];
  env?(place: Instance): NodeJS.ProcessEnv;
}

const versitygw = ({ built, host, port, data }: Instance) => [
  built,
  "--port",
  `${host}:${port}`,
  "--quiet",
  "--region",
  REGION,
  "--access",
  KEY.AWS_ACCESS_KEY_ID,
  "--secret",
  KEY.AWS_SECRET_ACCESS_KEY,
  "posix",
  data,
];
/** Java's programs: "classpath" lists their files. */
const java = ({ built }: Instance, ...rest: readonly string[]) => [
  "java",
  "-cp",
  readFileSync(built, "utf8").trim(),
  ...rest,
];

const RECIPES = {
  versitygw: { built: "versitygw-1.8.0/versitygw", command: versitygw },
  "versitygw-1.7.0": { built: "versitygw-1.7.0/versitygw", command: versitygw },
  minio: {
    built: "minio-20260212/minio",
    command: ({ built, host, port, data }) => [built, "server", "--quiet", "--address", `${host}:${port}`, data],
    env: () => ({
      MINIO_ROOT_USER: KEY.AWS_ACCESS_KEY_ID,
      MINIO_ROOT_PASSWORD: KEY.AWS_SECRET_ACCESS_KEY,
      MINIO_REGION: REGION,
      MINIO_UPDATE: "off",
      MINIO_BROWSER: "off",
      MINIO_CALLHOME_ENABLE: "off",
    }),
  },
  gofakes3: {
    built: "gofakes3-1.2.0/gofakes3",
    command: ({ built, host, port }) => [
      built,
      "-host",
      `${host}:${port}`,
      "-backend",
      "mem",
      "-initialbucket",
      "bucket",
    ],
  },
  ministack: {
    built: "ministack-1.5.33/bin/hypercorn",
    command: ({ built, host, port }) => [
      join(dirname(built), "python"),
      "-m",
      "hypercorn",
      "ministack.app:app",
      // One process: workers would outlive the one that we end.
      "--workers",
      "0",
      "--bind",
      `${host}:${port}`,
    ],
    env: ({ data }) => ({ SERVICES: "s3", S3_PERSIST: "1", S3_DATA_DIR: data, LOG_LEVEL: "WARNING" }),
  },
  fauxqs: {
    built: "fauxqs-2.4.1/node_modules/fauxqs/dist/cli.js",
    command: ({ built }) => [join(dirname(built), "../../node/bin/node"), built],
    env: ({ host, port }) => ({ FAUXQS_HOST: host, FAUXQS_PORT: String(port) }),
  },
  s3proxy: {
    built: "s3proxy-4.1.0/classpath",
    command: (place) => java(place, "org.gaul.s3proxy.Main", "--properties", propertiesOf(place)),
  },
  s3mock: {
    built: "s3mock-5.2.0/classpath",
    command: (place) =>
      java(
        place,
        // Its own logging does not start beside the others' libraries.
        "-Dorg.springframework.boot.logging.LoggingSystem=none",
        "-Dcom.adobe.testing.s3mock.store.initialBuckets=bucket",
        `-Dhttp.port=${place.port}`,
        "-Dserver.port=0",
        `-Dserver.address=${place.host}`,
        "com.adobe.testing.s3mock.S3MockApplication",
      ),
  },
  "s3s-fs": {
    built: "s3s-fs-0.14.1/bin/s3s-fs",
    command: ({ built, host, port, data }) => [
      built,
      "--host",
      host,
      "--port",
      String(port),
      "--access-key",
      KEY.AWS_ACCESS_KEY_ID,
      "--secret-key",
      KEY.AWS_SECRET_ACCESS_KEY,
      data,
    ],
  },
  "rclone-1.76.0": {
    built: "rclone-1.76.0/rclone",
    command: ({ built, host, port, data }) => [
      built,
      "serve",
      "s3",
      "--addr",
      `${host}:${port}`,
      "--auth-key",
      `${KEY.AWS_ACCESS_KEY_ID},${KEY.AWS_SECRET_ACCESS_KEY}`,
      data,
    ],
  },
} satisfies Record<string, Recipe>;

export type ServerName = keyof typeof RECIPES;

export function programOf(name: ServerName): string | undefined {
  const path = join(CACHE, RECIPES[name].built);
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
    // Those that keep their buckets elsewhere check no signature.
    if (["ministack", "fauxqs"].includes(name)) await fetch(`${server.endpoint}/${server.bucket}`, { method: "PUT" });
    return server;
  }

  async start(): Promise<void> {
    const program = programOf(this.#name);
    if (program === undefined) throw new Error(`${this.#name} is not built: scripts/test builds it`);
    const log = openSync(join(this.#folder, "server.log"), "a");
    const place = { built: program, host: "127.0.0.1", port: this.#port, data: join(this.#folder, "data") };
    const recipe: Recipe = RECIPES[this.#name];
    const [command = "", ...args] = recipe.command(place);
    this.#child = spawn(command, args, {
      env: { ...process.env, ...recipe.env?.(place) },
      stdio: ["ignore", log, log],
    });
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

function propertiesOf({ host, port, data }: Instance): string {
  const path = join(dirname(data), "s3proxy.properties");
  const settings = {
    "s3proxy.endpoint": `http://${host}:${port}`,
    "s3proxy.authorization": "aws-v2-or-v4",
    "s3proxy.identity": KEY.AWS_ACCESS_KEY_ID,
    "s3proxy.credential": KEY.AWS_SECRET_ACCESS_KEY,
    "jclouds.provider": "filesystem-nio2",
    "jclouds.filesystem.basedir": data,
  };
  writeFileSync(
    path,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
  return path;
}

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
