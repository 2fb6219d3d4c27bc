/** Makes a bucket of many small files without a mount: commits of 50,000 files each, straight from memory. */
import type * as commandWriter from "../../src/agent/command-writer.ts";
import type * as clock from "../../src/base/clock.ts";
import type { FileName } from "../../src/base/ids.ts";
import type * as log from "../../src/base/log.ts";
import { nameFromText } from "../../src/base/names.ts";
import type * as random from "../../src/base/random.ts";
import type * as fileSource from "../../src/bucket/writer/file-source.ts";
import type * as walletModule from "../../src/crypto/wallet.ts";
import type * as masterAccessModule from "../../src/net/access.ts";
import { checkout, join, type Space, syncline } from "./lib.ts";

/** By their paths in dist/: what these import has `using`, which Node.js 22 does not know. */
interface Modules {
  readonly "agent/command-writer.js": typeof commandWriter;
  readonly "base/clock.js": typeof clock;
  readonly "base/log.js": typeof log;
  readonly "base/random.js": typeof random;
  readonly "bucket/writer/file-source.js": typeof fileSource;
  readonly "crypto/wallet.js": typeof walletModule;
  readonly "net/access.js": typeof masterAccessModule;
}

const PER_COMMIT = 50_000;
const FILE_BYTES = 100;

/** `files` of 100 bytes at `url`: a fifth of them in the directory "flat", the others in directories of 1,000 ("d0/f0" …). */
export async function bucketOfFiles(space: Space, url: string, files: number): Promise<void> {
  syncline(space, ["init", url]);
  const [{ openCommandWriter, requirePublished }, { walletSigner }, { sourceOfBytes }, { masterAccess }, base] =
    await Promise.all([
      load("agent/command-writer.js"),
      load("crypto/wallet.js"),
      load("bucket/writer/file-source.js"),
      load("net/access.js"),
      ports(),
    ]);
  const wallet = async () => walletSigner(Buffer.from(space.env["SYNCLINE_KEY"] ?? "", "hex"));
  const access = masterAccess({ wallet, clock: base.clock });
  for (let from = 0; from < files; from += PER_COMMIT) {
    const session = await openCommandWriter({
      address: url,
      stateRoot: join(space.path, "maker"),
      wallet,
      access,
      ...base,
    });
    for (let index = from; index < Math.min(files, from + PER_COMMIT); index++) {
      const source = sourceOfBytes(Buffer.from(String(index).padEnd(FILE_BYTES, ".")));
      await session.writer.putFile(pathOf(index, files), source, { mode: 0o644, uid: 0, gid: 0 });
    }
    requirePublished(await session.writer.publish());
    await session[Symbol.asyncDispose]();
  }
}

/** Where file `index` of `files` lies. */
export function pathOf(index: number, files: number): FileName[] {
  const names = index < files / 5 ? ["flat", `f${index}`] : [`d${Math.floor(index / 1_000)}`, `f${index}`];
  return names.map(nameFromText);
}

async function ports() {
  const [{ systemClock }, { systemRandom }, { silentLog }] = await Promise.all([
    load("base/clock.js"),
    load("base/random.js"),
    load("base/log.js"),
  ]);
  return { clock: systemClock, random: systemRandom, log: silentLog };
}

function load<File extends keyof Modules>(file: File): Promise<Modules[File]> {
  return import(join(checkout, "dist", file));
}
