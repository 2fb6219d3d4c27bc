/** Makes a bucket of many small files without a mount: commits of 50,000 files each, straight from memory. */
import { checkout, join, syncline } from "./lib.mjs";

const PER_COMMIT = 50_000;
const FILE_BYTES = 100;

/** `files` of 100 bytes at `url`: a fifth of them in the directory "flat", the others in directories of 1,000 ("d0/f0" …). */
export async function bucketOfFiles(space, url, files) {
  syncline(space, ["init", url]);
  const [{ openCommandWriter, requirePublished }, { walletSigner }, { sourceOfBytes }, { masterAccess }, base] =
    await Promise.all([
      load("agent/command-writer.js"),
      load("crypto/wallet.js"),
      load("bucket/writer/file-source.js"),
      load("net/access.js"),
      ports(),
    ]);
  const wallet = async () => walletSigner(Buffer.from(space.env.SYNCLINE_KEY, "hex"));
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
export function pathOf(index, files) {
  return index < files / 5 ? ["flat", `f${index}`] : [`d${Math.floor(index / 1_000)}`, `f${index}`];
}

async function ports() {
  const [{ systemClock }, { systemRandom }, { silentLog }] = await Promise.all([
    load("base/clock.js"),
    load("base/random.js"),
    load("base/log.js"),
  ]);
  return { clock: systemClock, random: systemRandom, log: silentLog };
}

function load(file) {
  return import(join(checkout, "dist", file));
}
