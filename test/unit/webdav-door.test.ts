/** The WebDAV door as options describe it: the certificate that it makes for itself. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemRandom } from "../../src/base/random.ts";
import { makeSelfSigned } from "../../src/crypto/self-signed.ts";
import { webdavDoor, type WebdavCall } from "../../src/cli/webdav-door.ts";
import { createFakeRuntime } from "../support/fake-runtime.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

test("a certificate is kept, and made anew with its key when they do not fit", async () => {
  const folder = await temporaryFolder();
  const call = { options: { tlsSelfSigned: true, noAuth: true }, runtime: createFakeRuntime({}) };
  const tlsOf = () => {
    const setup = webdavDoor(call as unknown as WebdavCall, "127.0.0.1:0", "--listen")(folder);
    return "tls" in setup && setup.tls !== undefined ? setup.tls : { cert: "", key: "" };
  };
  const first = tlsOf();
  expect(tlsOf()).toEqual(first);
  writeFileSync(join(folder, "webdav-key.pem"), makeSelfSigned(["localhost"], 0, 1e12, systemRandom).key);
  const { cert, key } = tlsOf();
  expect(cert).not.toBe(first.cert);
  expect(new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))).toBe(true);
});
