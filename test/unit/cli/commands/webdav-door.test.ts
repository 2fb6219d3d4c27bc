/** The WebDAV door as options describe it: the certificate that it makes for itself. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemRandom } from "../../../../src/base/random.ts";
import { makeSelfSigned } from "../../../../src/crypto/self-signed.ts";
import { parseHostName } from "../../../../src/cli/host-name.ts";
import { webdavDoor, type WebdavCall } from "../../../../src/cli/commands/webdav-door.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test("a --host name is normalized as in certificates and Host headers, and an invalid one is refused", () => {
  const names = ["Bücher.example", "FILES.example.", "nas_1", "192.0.2.1", "[2001:DB8::1]", "::1"];
  expect(names.map(parseHostName)).toEqual([
    "xn--bcher-kva.example",
    "files.example",
    "nas_1",
    "192.0.2.1",
    "2001:db8::1",
    "::1",
  ]);
  for (const text of ["", " ", "a b", "*.wild.example", "[fe80::1%eth0]", "fe80::1%eth0", "a..b", "127.1", "a/b"])
    expect(() => parseHostName(text), text).toThrow("is not a host name");
  for (const text of ["https://files.example", "files.example:8443", "[::1]:80"])
    expect(() => parseHostName(text)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining("only the name") as string }),
    );
});

test("a certificate is reused, and recreated with its key if the two do not match", async () => {
  const folder = await temporaryFolder();
  const call = {
    options: { tlsSelfSigned: true, noAuth: true, host: ["bücher.example"] },
    runtime: createFakeRuntime({}),
  };
  const tlsOf = () => {
    const { tls } = webdavDoor(call as unknown as WebdavCall, "127.0.0.1:0", "--listen")(folder);
    return { cert: readFileSync(tls?.cert ?? ""), key: readFileSync(tls?.key ?? "") };
  };
  const first = tlsOf();
  expect(tlsOf()).toEqual(first);
  writeFileSync(join(folder, "webdav-key.pem"), makeSelfSigned(["localhost"], 0, 1e12, systemRandom).key);
  const { cert, key } = tlsOf();
  expect(cert).not.toEqual(first.cert);
  expect(new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))).toBe(true);
});

test("files that are missing end the command, but not an agent that takes over a mount", async () => {
  const folder = await temporaryFolder();
  const [tlsCert, tlsKey] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const doorOf = (options: Partial<WebdavCall["options"]>, env: NodeJS.ProcessEnv) => {
    const runtime = createFakeRuntime({ XDG_CONFIG_HOME: folder, ...env });
    return webdavDoor(
      { options, runtime } as unknown as WebdavCall,
      "127.0.0.1:0",
      "--webdav",
    )(join(folder, "missing"));
  };
  for (const [options, code, setup] of [
    [{}, "usage", { passwordFile: join(folder, "syncline/webdav-passwords.json") }],
    [{ tlsCert, tlsKey, noAuth: true }, "config_invalid", { tls: { cert: tlsCert, key: tlsKey } }],
    [{ tlsSelfSigned: true, noAuth: true }, "ENOENT", { host: "127.0.0.1" }],
  ] as const) {
    expect(() => doorOf(options, {})).toThrow(expect.objectContaining({ code }));
    expect(doorOf(options, { SYNCLINE_HANDOFF: "45 128 0" })).toMatchObject(setup);
  }
});
